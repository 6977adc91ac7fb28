//! A build and its answer: the connection's end is the build's end.

use std::{collections::VecDeque, convert::Infallible};

use berth_build::{Builder, Error, Event, Finished, Request};
use futures_util::stream;
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinHandle};

use super::classic::Classic;
use crate::{failure::Answer, stream as answer};

/// Events that may wait for a slow client.
const QUEUE: usize = 256;

/// How events are written.
pub enum Form {
    /// As Docker's classic builder.
    Classic(Classic),
    /// As they are.
    Events,
}

/// A task that ends with whoever waits for it.
struct Running(JoinHandle<Result<Finished, Error>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Told {
    events: mpsc::Receiver<Event>,
    lines: VecDeque<Value>,
    form: Form,
    _running: Running,
}

/// Builds and streams what happens. A failure before the first step is an answer of its own.
pub async fn run(builder: Builder, request: Request, form: Form) -> Answer {
    let (sender, mut events) = mpsc::channel(QUEUE);
    let mut running = Running(tokio::spawn(async move { builder.build(request, sender).await }));
    let first = events.recv().await;
    if let Some(Event::Outcome(outcome)) = &first
        && outcome.error.is_some()
    {
        let ended = (&mut running.0).await;
        if let Ok(Err(error)) = ended {
            return Err(error.into());
        }
    }
    let mut told = Told { events, lines: VecDeque::new(), form, _running: running };
    if let Some(event) = first {
        told.take(event);
    }
    let lines = stream::unfold(told, |mut told| async move { told.next().await.map(|line| (line, told)) });
    Ok(answer::documents(futures_util::StreamExt::map(lines, Ok::<_, Infallible>)))
}

impl Told {
    fn take(&mut self, event: Event) {
        let values = match &mut self.form {
            Form::Events => vec![serde_json::to_value(event).unwrap_or_default()],
            Form::Classic(classic) => {
                let lines = classic.lines(event);
                lines.into_iter().map(|line| serde_json::to_value(line).unwrap_or_default()).collect()
            }
        };
        self.lines.extend(values);
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            let event = self.events.recv().await?;
            self.take(event);
        }
    }
}
