//! The view of a build on a terminal, drawn again and again: a line a step, the last words of those that run.

use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use serde_json::Value;

use super::progress::{printable, seconds, time};
use crate::terminal;

/// Between two drawings.
const EVERY: Duration = Duration::from_millis(100);
/// Lines of a running step that are shown.
const WORDS_MAX: usize = 6;
/// Bytes of a step's words that are kept for the case that it fails.
const KEPT_BYTES: usize = 64 << 10;
/// Where the terminal does not say its size.
const SIZE: (u16, u16) = (24, 80);

/// A step.
#[derive(Default)]
struct Step {
    name: String,
    started: Option<jiff::Timestamp>,
    completed: Option<jiff::Timestamp>,
    cached: bool,
    error: bool,
    reason: Option<String>,
    words: String,
}

/// What is drawn.
#[derive(Default)]
struct Picture {
    order: Vec<String>,
    steps: HashMap<String, Step>,
    warnings: Vec<String>,
    began: Option<jiff::Timestamp>,
    /// Lines on the screen that the next drawing replaces.
    drawn: usize,
    explain: bool,
}

/// A build on a terminal.
pub struct Live {
    picture: Arc<Mutex<Picture>>,
    stop: mpsc::Sender<()>,
    painter: Option<std::thread::JoinHandle<()>>,
}

impl Live {
    pub fn new(explain: bool) -> Self {
        let picture =
            Arc::new(Mutex::new(Picture { explain, began: Some(jiff::Timestamp::now()), ..Picture::default() }));
        let (stop, stopped) = mpsc::channel::<()>();
        let own = Arc::clone(&picture);
        let painter = std::thread::spawn(move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                paint(&own, false);
            }
        });
        Self { picture, stop, painter: Some(painter) }
    }

    /// Takes an event in.
    pub fn show(&self, event: &Value) {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).take(event);
    }

    /// Draws for the last time.
    pub fn finish(mut self) {
        let _ = self.stop.send(());
        if let Some(painter) = self.painter.take() {
            let _ = painter.join();
        }
        paint(&self.picture, true);
    }
}

fn paint(picture: &Mutex<Picture>, is_last: bool) {
    let size = terminal::size().unwrap_or(SIZE);
    let text = picture.lock().unwrap_or_else(PoisonError::into_inner).text(size, jiff::Timestamp::now(), is_last);
    let mut out = std::io::stderr().lock();
    // A terminal that has gone away needs no picture.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

impl Picture {
    fn take(&mut self, event: &Value) {
        if let Some(vertex) = event.get("vertex") {
            let id = vertex["id"].as_str().unwrap_or_default();
            if !self.steps.contains_key(id) {
                self.order.push(id.to_owned());
            }
            let at = |name: &str| (!vertex[name].is_null()).then(|| time(&vertex[name]));
            let step = self.steps.entry(id.to_owned()).or_default();
            step.name = printable(vertex["name"].as_str().unwrap_or_default()).replace('\n', " ");
            (step.started, step.completed) = (at("started"), at("completed"));
            step.cached = vertex["cached"] == true;
            step.error = vertex["error"].is_string();
            step.reason = vertex["reason"].as_str().map(printable);
        } else if let Some(log) = event.get("log") {
            let step = self.steps.entry(log["vertex"].as_str().unwrap_or_default().to_owned()).or_default();
            step.words.push_str(&printable(log["data"].as_str().unwrap_or_default()));
            if step.words.len() > KEPT_BYTES {
                let at = step.words.len() - KEPT_BYTES / 2;
                let at = (at..).find(|at| step.words.is_char_boundary(*at)).unwrap_or(0);
                step.words = step.words.split_off(at);
            }
        } else if let Some(warning) = event.get("warning") {
            self.warnings.push(printable(warning["rendered"].as_str().unwrap_or_default()));
        }
    }

    /// The bytes that make the screen what it should be.
    fn text(&mut self, (rows, columns): (u16, u16), now: jiff::Timestamp, is_last: bool) -> String {
        let columns = usize::from(columns).max(20);
        let mut lines = self.lines(columns, now, is_last);
        if !is_last {
            // What scrolled away cannot be drawn again: the newest lines stay.
            let room = usize::from(rows).saturating_sub(2).max(2);
            if lines.len() > room {
                let rest = lines.split_off(lines.len() - (room - 1));
                lines.truncate(1);
                lines.extend(rest);
            }
        }
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\u{1b}[{}A", self.drawn));
        }
        for line in &lines {
            text.push_str(&format!("\u{1b}[2K{line}\n"));
        }
        text.push_str("\u{1b}[J");
        self.drawn = lines.len();
        if is_last {
            text.push_str(&self.epilogue());
            self.drawn = 0;
        }
        text
    }

    fn lines(&self, columns: usize, now: jiff::Timestamp, is_last: bool) -> Vec<String> {
        let done = self.steps.values().filter(|step| step.completed.is_some()).count();
        let since = self.began.map_or(0.0, |began| seconds(began, now));
        let word = match (is_last, self.steps.values().any(|step| step.error)) {
            (_, true) => " ERROR",
            (true, false) => " FINISHED",
            (false, false) => "",
        };
        let mut lines = vec![format!("[+] Building {since:.1}s ({done}/{}){word}", self.order.len())];
        for step in self.order.iter().filter_map(|id| self.steps.get(id)) {
            let Some(started) = step.started else { continue };
            let took = seconds(started, step.completed.unwrap_or(now));
            let mark = match (step.error, step.cached) {
                (true, _) => "ERROR ",
                (_, true) => "CACHED ",
                _ => "",
            };
            let text = row(&format!(" => {mark}{}", step.name), &format!("{took:.1}s"), columns);
            lines.push(match (step.error, step.completed.is_some()) {
                (true, _) => format!("\u{1b}[31m{text}\u{1b}[0m"),
                (_, true) => format!("\u{1b}[34m{text}\u{1b}[0m"),
                _ => text,
            });
            if let Some(reason) = step.reason.as_ref().filter(|_| self.explain) {
                lines.push(cut(&format!(" => => {}: {reason}", if step.cached { "cached" } else { "made" }), columns));
            }
            if step.completed.is_none() {
                let words: Vec<&str> = step.words.lines().collect();
                let last = words.iter().skip(words.len().saturating_sub(WORDS_MAX));
                lines.extend(last.map(|line| cut(&format!(" => => # {}", line.replace('\t', "  ")), columns)));
            }
        }
        lines
    }

    /// The words of what failed, and what the checks found.
    fn epilogue(&self) -> String {
        let mut text = String::new();
        for step in self.order.iter().filter_map(|id| self.steps.get(id)).filter(|step| step.error) {
            text.push_str(&format!("------\n > {}:\n{}", step.name, step.words));
            if !step.words.is_empty() && !step.words.ends_with('\n') {
                text.push('\n');
            }
            text.push_str("------\n");
        }
        if !self.warnings.is_empty() {
            let plural = if self.warnings.len() == 1 { "" } else { "s" };
            text.push_str(&format!("\n {} warning{plural} found:\n", self.warnings.len()));
            self.warnings.iter().for_each(|warning| text.push_str(&format!("{warning}\n")));
        }
        text
    }
}

/// A line with something at its right end.
fn row(left: &str, right: &str, columns: usize) -> String {
    let room = columns.saturating_sub(right.chars().count() + 1);
    let left = cut(left, room);
    let blanks = room.saturating_sub(left.chars().count());
    format!("{left}{} {right}", " ".repeat(blanks))
}

fn cut(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_picture_is_drawn_over_itself() {
        let at = "2026-01-01T00:00:00Z";
        let now: jiff::Timestamp = "2026-01-01T00:00:01.5Z".parse().expect("a time");
        let mut picture = Picture { began: Some(at.parse().expect("a time")), ..Picture::default() };
        picture.take(&json!({ "vertex": { "id": "a", "name": "[x 1/2] FROM y", "started": at, "completed": at, "cached": true } }));
        picture.take(&json!({ "vertex": { "id": "b", "name": "[x 2/2] RUN z", "started": at } }));
        picture.take(&json!({ "log": { "vertex": "b", "data": "one\n\u{1b}[2Jtwo\n", "at": at } }));
        let first = picture.text((24, 40), now, false);
        assert!(first.contains("[+] Building 1.5s (1/2)"), "{first}");
        assert!(first.contains(" => CACHED [x 1/2] FROM y") && first.contains("1.5s"), "{first}");
        assert!(first.contains(" => => # \u{fffd}[2Jtwo"), "{first}");
        assert_eq!(picture.drawn, 5);
        picture.take(&json!({ "vertex": { "id": "b", "name": "[x 2/2] RUN z", "started": at, "completed": at, "error": "bad" } }));
        let last = picture.text((24, 40), now, true);
        assert!(last.starts_with("\u{1b}[5A") && last.contains("ERROR [x 2/2]"), "{last}");
        assert!(last.contains("------\n > [x 2/2] RUN z:\none\n"), "{last}");
    }

    #[test]
    fn a_small_terminal_shows_the_newest() {
        let at = "2026-01-01T00:00:00Z";
        let now: jiff::Timestamp = at.parse().expect("a time");
        let mut picture = Picture::default();
        for number in 0..50 {
            picture.take(
                &json!({ "vertex": { "id": format!("{number}"), "name": format!("step-{number}"), "started": at } }),
            );
        }
        let text = picture.text((10, 40), now, false);
        assert_eq!(picture.drawn, 8);
        assert!(text.contains("step-49") && !text.contains("step-10") && text.contains("[+] Building"));
    }
}
