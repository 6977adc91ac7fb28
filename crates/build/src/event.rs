//! What a build tells while it runs.

use berth_kit::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Where a build tells. Its capacity is the listener's choice; a slow listener slows the build down.
pub type EventSender = mpsc::Sender<Event>;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A step became known, began or ended: the newest state of it.
    Vertex(Vertex),
    /// A step said something.
    Log(Log),
    /// A part of a step goes on: bytes of a download, a file of an output.
    Status(Status),
    /// A check found something.
    Warning(Warning),
    /// The end; the last event of a build that was heard to its end.
    Outcome(Outcome),
}

/// A step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Vertex {
    /// Its identity in this build, `sha256:…`.
    pub id: String,
    /// `[builder 2/5] RUN make`.
    pub name: String,
    /// The instruction alone: `RUN make`.
    pub text: String,
    /// Ids of the steps it waits for.
    pub inputs: Vec<String>,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// It was taken from the cache.
    pub cached: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// Why it was cached or not, in words.
    pub reason: Option<String>,
    /// What it made: the id of an image or of a layer.
    pub result: Option<String>,
    /// Its line in the Dockerfile, from one; 0 where it has none.
    pub line: u32,
}

/// Bytes of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// The step.
    pub vertex: String,
    /// 1 for the standard output, 2 for errors.
    pub stream: u8,
    /// What came.
    pub data: String,
    /// When.
    pub at: Timestamp,
}

/// How far a part of a step is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The step.
    pub vertex: String,
    /// What: `transferring context`.
    pub id: String,
    /// Bytes done.
    pub current: u64,
    /// Bytes in all; 0 when unknown.
    pub total: u64,
    /// It ended.
    pub done: bool,
}

/// A finding of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// Name of the check.
    pub rule: String,
    /// What is wrong.
    pub message: String,
    /// From one.
    pub line: u32,
    /// From one.
    pub column: u32,
    /// With the line itself, for people.
    pub rendered: String,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Ids of the images that were made, one a platform.
    pub images: Vec<String>,
    /// Names that the image has now.
    pub names: Vec<String>,
    /// Digest of what was pushed, on its registry.
    #[serde(default)]
    pub pushed: Option<String>,
    /// Its reference in the history of builds.
    pub reference: String,
    /// Why it failed.
    pub error: Option<String>,
    /// The lines of the Dockerfile around what failed, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

/// The teller of one build.
#[derive(Clone)]
pub(crate) struct Teller(EventSender);

impl Teller {
    pub fn new(sender: EventSender) -> Self {
        Self(sender)
    }

    pub async fn tell(&self, event: Event) {
        // A listener that went away cancels the build by dropping it; nothing is told to nobody.
        let _ = self.0.send(event).await;
    }

    pub async fn vertex(&self, vertex: &Vertex) {
        self.tell(Event::Vertex(vertex.clone())).await;
    }

    pub async fn log(&self, vertex: &str, stream: u8, data: &[u8]) {
        let data = String::from_utf8_lossy(data).into_owned();
        self.tell(Event::Log(Log { vertex: vertex.to_owned(), stream, data, at: Timestamp::now() })).await;
    }

    pub async fn status(&self, vertex: &str, id: &str, current: u64, total: u64, done: bool) {
        self.tell(Event::Status(Status { vertex: vertex.to_owned(), id: id.to_owned(), current, total, done })).await;
    }
}
