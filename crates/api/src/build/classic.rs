//! A build's events as the lines that Docker's classic builder prints: one step after the other, whatever runs at once.

use std::collections::HashMap;

use berth_build::{Event, Outcome, Vertex};
use berth_spec::progress::{ErrorDetail, Progress};
use serde_json::json;

/// The stream that Docker's classic builder shows in red.
const STDERR: u8 = 2;
/// Digits of an id that people see.
const SHORT: usize = 12;

/// The printer of one build.
#[derive(Default)]
pub struct Classic {
    order: Vec<String>,
    steps: HashMap<String, Step>,
    /// Steps that were printed to their end.
    printed: usize,
    quiet: bool,
}

#[derive(Default)]
struct Step {
    text: String,
    /// What waits for the steps before it.
    waiting: Vec<Progress>,
    begun: bool,
    ended: bool,
}

impl Classic {
    pub fn new(quiet: bool) -> Self {
        Self { quiet, ..Self::default() }
    }

    /// The lines that an event brings.
    pub fn lines(&mut self, event: Event) -> Vec<Progress> {
        match event {
            // Steps of the builder's own have no instruction: Docker prints none.
            Event::Vertex(vertex) if vertex.text.is_empty() => {}
            Event::Vertex(vertex) => self.vertex(&vertex),
            Event::Log(log) => {
                if let Some(step) = self.steps.get_mut(&log.vertex) {
                    step.waiting.push(text(if log.stream == STDERR { red(&log.data) } else { log.data }));
                }
            }
            Event::Warning(warning) => return self.loud(vec![text(format!("[Warning] {}\n", warning.rendered))]),
            Event::Status(_) => {}
            Event::Outcome(outcome) => return self.end(&outcome),
        }
        let ready = self.ready();
        self.loud(ready)
    }

    fn loud(&self, lines: Vec<Progress>) -> Vec<Progress> {
        if self.quiet { Vec::new() } else { lines }
    }

    fn vertex(&mut self, vertex: &Vertex) {
        if !self.steps.contains_key(&vertex.id) {
            self.order.push(vertex.id.clone());
            self.steps.insert(vertex.id.clone(), Step { text: vertex.text.clone(), ..Step::default() });
        }
        let Some(step) = self.steps.get_mut(&vertex.id) else { return };
        step.begun |= vertex.started.is_some();
        if vertex.completed.is_none() || step.ended {
            return;
        }
        step.ended = true;
        if vertex.error.is_none() {
            if vertex.cached && !vertex.text.to_ascii_uppercase().starts_with("FROM") {
                step.waiting.push(text(" ---> Using cache\n".to_owned()));
            }
            let id = vertex.result.as_deref().unwrap_or(&vertex.id);
            step.waiting.push(text(format!(" ---> {}\n", short(id))));
        }
    }

    /// What may be printed now: of the first step that has not ended, and of those before it.
    fn ready(&mut self) -> Vec<Progress> {
        let mut lines = Vec::new();
        let total = self.order.len();
        while let Some(step) = self.order.get(self.printed).and_then(|id| self.steps.get_mut(id)) {
            if !step.begun {
                break;
            }
            if !step.text.is_empty() {
                let head = std::mem::take(&mut step.text);
                lines.push(text(format!("Step {}/{total} : {head}\n", self.printed + 1)));
            }
            lines.append(&mut step.waiting);
            if !step.ended {
                break;
            }
            self.printed += 1;
        }
        lines
    }

    fn end(&mut self, outcome: &Outcome) -> Vec<Progress> {
        if let Some(message) = &outcome.error {
            let mut lines = Vec::new();
            // What other steps said before the failure is not lost.
            for id in self.order.iter().skip(self.printed) {
                lines.extend(self.steps.get_mut(id).map(|step| std::mem::take(&mut step.waiting)).unwrap_or_default());
            }
            let mut lines = self.loud(lines);
            let error_detail = Some(ErrorDetail { message: message.clone(), code: exit_code(message) });
            lines.push(Progress { error: Some(message.clone()), error_detail, ..Progress::default() });
            return lines;
        }
        let Some(id) = outcome.images.first() else { return Vec::new() };
        if self.quiet {
            return vec![text(format!("{id}\n"))];
        }
        let mut lines = vec![
            Progress { aux: Some(json!({ "ID": id })), ..Progress::default() },
            text(format!("Successfully built {}\n", short(id))),
        ];
        let tagged = |name: &String| {
            let whole = berth_spec::Reference::parse(name).map(|one| one.with_default_tag().familiar());
            text(format!("Successfully tagged {}\n", whole.unwrap_or_else(|_| name.clone())))
        };
        lines.extend(outcome.names.iter().map(tagged));
        lines
    }
}

/// The exit code that Docker's words end with.
fn exit_code(message: &str) -> Option<i64> {
    message.rsplit_once("returned a non-zero code: ").and_then(|(_, code)| code.trim().parse().ok())
}

fn text(stream: String) -> Progress {
    Progress { stream: Some(stream), ..Progress::default() }
}

/// As moby's `streamformatter` marks what a step says on standard error.
fn red(said: &str) -> String {
    format!("\x1b[91m{said}\x1b[0m")
}

fn short(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(SHORT).collect()
}

#[cfg(test)]
mod tests {
    use berth_build::Log;
    use berth_kit::time::Timestamp;

    use super::*;

    fn vertex(id: &str, started: bool, completed: bool) -> Event {
        let at = |is: bool| is.then_some(Timestamp::UNIX_EPOCH);
        let (started, completed) = (at(started), at(completed));
        Event::Vertex(Vertex { id: id.into(), text: format!("RUN {id}"), started, completed, ..Vertex::default() })
    }

    fn log(id: &str, data: &str) -> Event {
        Event::Log(Log { vertex: id.into(), stream: 1, data: data.into(), at: Timestamp::UNIX_EPOCH })
    }

    #[test]
    fn steps_that_run_at_once_are_printed_in_order() {
        let mut classic = Classic::default();
        let events = [
            vertex("a", false, false),
            vertex("b", false, false),
            vertex("b", true, false),
            log("b", "second\n"),
            vertex("b", true, true),
            vertex("a", true, false),
            log("a", "first\n"),
            vertex("a", true, true),
        ];
        let lines: String =
            events.into_iter().flat_map(|event| classic.lines(event)).filter_map(|line| line.stream).collect();
        assert_eq!(lines, "Step 1/2 : RUN a\nfirst\n ---> a\nStep 2/2 : RUN b\nsecond\n ---> b\n");
    }

    #[test]
    fn standard_error_is_red() {
        let mut classic = Classic::default();
        classic.lines(vertex("a", true, false));
        let said = Log { vertex: "a".into(), stream: 2, data: "oh\n".into(), at: Timestamp::UNIX_EPOCH };
        let lines = classic.lines(Event::Log(said));
        assert_eq!(lines[0].stream.as_deref(), Some("\x1b[91moh\n\x1b[0m"));
    }

    #[test]
    fn the_end_is_dockers() {
        let outcome = |error: Option<&str>| {
            Event::Outcome(Outcome {
                images: vec![format!("sha256:{}", "ab".repeat(32))],
                names: vec!["x".into()],
                pushed: None,
                reference: "r".into(),
                error: error.map(str::to_owned),
                shown: None,
            })
        };
        let lines: String =
            Classic::new(false).lines(outcome(None)).into_iter().filter_map(|line| line.stream).collect();
        assert_eq!(lines, "Successfully built abababababab\nSuccessfully tagged x:latest\n");
        let failed = Classic::new(true).lines(outcome(Some("The command 'x' returned a non-zero code: 7")));
        assert_eq!(failed[0].error_detail.as_ref().and_then(|detail| detail.code), Some(7));
    }
}
