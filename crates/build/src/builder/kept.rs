//! What is kept of a build, and what is shown of one that failed.

use std::{collections::BTreeMap, sync::Arc};

use berth_kit::time::Timestamp;
use berth_spec::Platform;
use tokio::sync::mpsc;

use super::Shared;
use crate::{BuildRecord, Error, Event, EventSender, Request};

/// Lines of the Dockerfile that are shown before and after what failed.
const AROUND: usize = 2;

/// What a build leaves in the history, also when it is dropped before its end.
pub(super) struct Kept {
    pub shared: Arc<Shared>,
    pub record: BuildRecord,
    pub events: Vec<Event>,
    pub done: bool,
}

impl Kept {
    pub fn finish(&mut self) {
        self.done = true;
        if let Err(error) = self.shared.history.keep(&self.record, &self.events) {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot keep the history of a build");
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.done {
            self.record.completed = Some(Timestamp::now());
            self.record.error = Some(Error::Cancelled.to_string());
            self.finish();
        }
    }
}

pub(super) fn record_of(request: &Request) -> BuildRecord {
    BuildRecord {
        reference: request.reference.clone(),
        name: request.tags.first().cloned().unwrap_or_else(|| request.dockerfile_name.clone()),
        created: Timestamp::now(),
        completed: None,
        error: None,
        images: Vec::new(),
        tags: request.tags.clone(),
        target: request.target.clone(),
        dockerfile: request.dockerfile_name.clone(),
        platforms: request.platforms.iter().map(Platform::to_string).collect(),
        args: request.args.keys().cloned().collect(),
        steps: 0,
        cached: 0,
    }
}

pub(super) async fn pass_on(mut from: mpsc::Receiver<Event>, to: &EventSender, kept: &mut Vec<Event>) {
    while let Some(event) = from.recv().await {
        kept.push(event.clone());
        let _ = to.send(event).await;
    }
}

/// The lines around the step that failed.
pub(super) fn excerpt(events: &[Event], (name, text): &(String, Vec<u8>)) -> Option<String> {
    let failed = events.iter().find_map(|event| match event {
        Event::Vertex(vertex) if vertex.error.is_some() && vertex.line > 0 => Some(vertex.line),
        _ => None,
    })?;
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    let at = usize::try_from(failed).ok()?;
    // An instruction goes on for as long as its lines say so.
    let mut end = at;
    while lines.get(end - 1).is_some_and(|line| line.trim_end().ends_with('\\')) && end < lines.len() {
        end += 1;
    }
    let mut shown = format!("{name}:{at}\n--------------------\n");
    for number in at.saturating_sub(AROUND).max(1)..=(end + AROUND).min(lines.len()) {
        let mark = if (at..=end).contains(&number) { ">>>" } else { "   " };
        shown.push_str(&format!("{number:4} | {mark} {}\n", lines[number - 1]));
    }
    shown.push_str("--------------------");
    Some(shown)
}

/// The steps that ended, and whether each came from the cache.
pub(super) fn last_vertexes(events: &[Event]) -> BTreeMap<&str, bool> {
    let ended = events.iter().filter_map(|event| match event {
        Event::Vertex(vertex) if vertex.completed.is_some() => Some((vertex.id.as_str(), vertex.cached)),
        _ => None,
    });
    ended.collect()
}
