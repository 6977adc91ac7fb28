//! How a build is shown: one line a step and its output behind its number, or the events as they are.

use std::collections::HashMap;
use std::io::Write;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::live::Live;

/// The ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For a terminal: steps in colour, output dimmed.
    Live,
    /// For a pipe.
    Plain,
    /// The events, a JSON document a line.
    Raw,
    /// Nothing but the image's id.
    Quiet,
}

/// What is shown of one build.
pub struct Progress {
    live: Option<Live>,
    mode: Mode,
    explain: bool,
    numbers: HashMap<String, usize>,
    begun: HashMap<usize, jiff::Timestamp>,
    outcome: Value,
}

impl Progress {
    pub fn new(mode: Mode, explain: bool) -> Self {
        let live = (mode == Mode::Live).then(|| Live::new(explain));
        Self { live, mode, explain, numbers: HashMap::new(), begun: HashMap::new(), outcome: json!({}) }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Value) -> std::io::Result<()> {
        if let Some(outcome) = event.get("outcome") {
            self.outcome = outcome.clone();
        }
        if let Some(live) = &self.live {
            live.show(event);
            return Ok(());
        }
        let text = match self.mode {
            Mode::Raw => raw(event).map(|status| format!("{status}\n")).unwrap_or_default(),
            Mode::Quiet | Mode::Live => return Ok(()),
            Mode::Plain => self.text(event),
        };
        std::io::stderr().write_all(text.as_bytes())
    }

    /// The last event of the build.
    pub fn finish(self) -> std::io::Result<Value> {
        if let Some(live) = self.live {
            live.finish();
        }
        Ok(self.outcome)
    }

    fn text(&mut self, event: &Value) -> String {
        if let Some(vertex) = event.get("vertex") {
            return self.vertex(vertex);
        }
        if let Some(log) = event.get("log") {
            let number = self.number(log["vertex"].as_str().unwrap_or_default());
            let since = self.begun.get(&number).map_or(0.0, |begun| seconds(*begun, time(&log["at"])));
            let lines = log["data"].as_str().unwrap_or_default().lines();
            return lines.map(|line| format!("#{number} {since:.3} {}\n", printable(line))).collect();
        }
        if let Some(warning) = event.get("warning") {
            return format!("{}\n", printable(warning["rendered"].as_str().unwrap_or_default()));
        }
        String::new()
    }

    fn vertex(&mut self, vertex: &Value) -> String {
        if vertex["started"].is_null() {
            return String::new();
        }
        let number = self.number(vertex["id"].as_str().unwrap_or_default());
        let name = printable(vertex["name"].as_str().unwrap_or_default());
        let begun = time(&vertex["started"]);
        if vertex["completed"].is_null() {
            self.begun.insert(number, begun);
            return format!("#{number} {name}\n");
        }
        let mut text = match (vertex["error"].as_str(), vertex["cached"].as_bool()) {
            (Some(error), _) => format!("#{number} ERROR: {}\n", printable(error)),
            (None, Some(true)) => format!("#{number} CACHED\n"),
            _ => format!("#{number} DONE {:.1}s\n", seconds(begun, time(&vertex["completed"]))),
        };
        if let Some(reason) = vertex["reason"].as_str().filter(|_| self.explain) {
            let word = if vertex["cached"] == true { "cached" } else { "made" };
            text.push_str(&format!("#{number} {word}: {}\n", printable(reason)));
        }
        text
    }

    fn number(&mut self, id: &str) -> usize {
        let next = self.numbers.len() + 1;
        *self.numbers.entry(id.to_owned()).or_insert(next)
    }
}

/// An event as BuildKit's clients write it for `--progress=rawjson` (buildkit, client/graph.go, "SolveStatus"); none
/// for the end.
fn raw(event: &Value) -> Option<Value> {
    let encoded = |text: &Value| STANDARD.encode(text.as_str().unwrap_or_default());
    if let Some(vertex) = event.get("vertex") {
        let mut own = json!({ "digest": vertex["id"], "name": vertex["name"] });
        for field in ["started", "completed", "error"] {
            if !vertex[field].is_null() {
                own[field] = vertex[field].clone();
            }
        }
        if vertex["inputs"].as_array().is_some_and(|inputs| !inputs.is_empty()) {
            own["inputs"] = vertex["inputs"].clone();
        }
        if vertex["cached"] == true {
            own["cached"] = true.into();
        }
        return Some(json!({ "vertexes": [own] }));
    }
    if let Some(log) = event.get("log") {
        let own = json!({
            "vertex": log["vertex"], "stream": log["stream"], "data": encoded(&log["data"]), "timestamp": log["at"],
        });
        return Some(json!({ "logs": [own] }));
    }
    if let Some(status) = event.get("status") {
        let now = jiff::Timestamp::now().to_string();
        let mut own = json!({
            "id": status["id"], "vertex": status["vertex"], "name": status["id"], "current": status["current"],
            "total": status["total"], "timestamp": now,
        });
        if status["done"] == true {
            own["completed"] = now.into();
        }
        return Some(json!({ "statuses": [own] }));
    }
    let warning = event.get("warning")?;
    let short = format!("{}: {} (line {})", text_of(&warning["rule"]), text_of(&warning["message"]), warning["line"]);
    let range = json!({ "start": { "line": warning["line"] }, "end": { "line": warning["line"] } });
    Some(json!({ "warnings": [{ "vertex": "", "level": 1, "short": STANDARD.encode(short), "range": [range] }] }))
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub fn time(value: &Value) -> jiff::Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

pub fn seconds(from: jiff::Timestamp, to: jiff::Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// A terminal does not obey what a build says.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_events_are_buildkits() {
        let at = "2026-01-01T00:00:00Z";
        let vertex = json!({ "vertex": { "id": "a", "name": "n", "started": at, "completed": null, "cached": false, "inputs": [], "error": null } });
        let expected = json!({ "vertexes": [{ "digest": "a", "name": "n", "started": at }] });
        assert_eq!(raw(&vertex), Some(expected));
        let log = json!({ "log": { "vertex": "a", "stream": 2, "data": "hi\n", "at": at } });
        let expected = json!({ "logs": [{ "vertex": "a", "stream": 2, "data": "aGkK", "timestamp": at }] });
        assert_eq!(raw(&log), Some(expected));
        assert_eq!(raw(&json!({ "outcome": {} })), None);
    }

    #[test]
    fn steps_and_their_output_carry_a_number() {
        let mut progress = Progress::new(Mode::Plain, true);
        let at = "2026-01-01T00:00:00Z";
        let vertex = json!({ "vertex": { "id": "a", "name": "[x 1/1] RUN y", "started": at } });
        let done = json!({ "vertex": { "id": "a", "started": at, "completed": "2026-01-01T00:00:02Z", "cached": false,
            "reason": "file b changed" } });
        let log = json!({ "log": { "vertex": "a", "data": "one\n\u{1b}[2J\n", "at": "2026-01-01T00:00:01Z" } });
        let text: String = [vertex, log, done].iter().map(|event| progress.text(event)).collect();
        assert_eq!(
            text,
            "#1 [x 1/1] RUN y\n#1 1.000 one\n#1 1.000 \u{fffd}[2J\n#1 DONE 2.0s\n#1 made: file b changed\n"
        );
    }
}
