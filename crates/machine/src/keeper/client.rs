//! The daemon's side of a keeper.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    process::Command,
};

use super::{
    SOCKET, Short,
    protocol::{Event, LINE_BYTES_MAX, Reply, Request, line, take},
};

/// A keeper answers within this time; a monitor that stands still does not.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// A jail is made, a monitor called, within this time.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Why a keeper did not do what it was asked: a sentence.
pub type Outcome<T> = Result<T, String>;

/// A connection to a keeper.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    came: Vec<u8>,
}

impl Link {
    async fn send(&mut self, request: &Request) -> Outcome<()> {
        self.stream.write_all(&line(request)).await.map_err(|error| format!("its keeper is gone: {error}"))
    }

    async fn receive(&mut self) -> Outcome<Reply> {
        loop {
            if let Some(reply) = take::<Reply>(&mut self.came) {
                return reply.ok_or_else(|| "its keeper says what nobody understands".to_owned());
            }
            if self.came.len() > LINE_BYTES_MAX {
                return Err("its keeper says too much".to_owned());
            }
            match self.stream.read_buf(&mut self.came).await {
                Ok(0) => return Err("its keeper is gone".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(format!("its keeper is gone: {error}")),
            }
        }
    }

    async fn ask(&mut self, request: &Request, limit: Duration) -> Outcome<Value> {
        let talk = async {
            self.send(request).await?;
            loop {
                match self.receive().await? {
                    Reply::Done(value) => return Ok(value),
                    Reply::Failed(reason) => return Err(reason),
                    Reply::Event(_) | Reply::Ready { .. } => {}
                }
            }
        };
        match tokio::time::timeout(limit, talk).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("its monitor does not answer within {} s", limit.as_secs())),
        }
    }
}

/// A keeper with its monitor at the gate.
#[derive(Debug)]
pub struct Waiting {
    link: Link,
    /// The monitor's process.
    pub pid: i32,
}

impl Waiting {
    /// Lets the monitor run. Dropped instead, everything is undone.
    ///
    /// # Errors
    /// Why it does not run; nothing is left of it then.
    pub async fn start(mut self) -> Outcome<()> {
        self.link.ask(&Request::Start, START_LIMIT).await.map(drop)
    }
}

/// Runs `<program> keep <run>`, with a plan in it, and waits until the monitor is at its gate.
///
/// # Errors
/// Why it is not; nothing is left of it then.
pub async fn spawn(run: &Path, program: &Path) -> Outcome<Waiting> {
    let fail = |error: std::io::Error| format!("cannot run {} keep: {error}", program.display());
    let (ours, theirs) = StdStream::pair().map_err(fail)?;
    ours.set_nonblocking(true).map_err(fail)?;
    let mut command = Command::new(program);
    command.arg0("berth").arg("keep").arg(run).env_clear();
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
    let mut keeper = command.spawn().map_err(fail)?;
    // The command holds a copy of the other end, which would hide the end of a keeper that dies.
    drop(command);
    tokio::spawn(async move {
        // Collected whenever it ends; the daemon's own end orphans it.
        let _ = keeper.wait().await;
    });
    let mut link = Link { stream: UnixStream::from_std(ours).map_err(fail)?, came: Vec::new() };
    match tokio::time::timeout(START_LIMIT, link.receive()).await {
        Ok(Ok(Reply::Ready { pid })) => Ok(Waiting { link, pid }),
        Ok(Ok(Reply::Failed(reason)) | Err(reason)) => Err(reason),
        Ok(Ok(other)) => Err(format!("its keeper says {other:?}")),
        Err(_) => Err("its keeper does not answer".to_owned()),
    }
}

/// The keeper of a run directory; each request has a connection of its own, so that none waits for another.
#[derive(Debug, Clone)]
pub struct Keeper {
    run: PathBuf,
}

impl Keeper {
    /// The keeper of `run`.
    #[must_use]
    pub fn of(run: &Path) -> Self {
        Self { run: run.to_owned() }
    }

    async fn connect(&self) -> Outcome<Link> {
        let fail = |error: std::io::Error| format!("its keeper is gone: {error}");
        let short = Short::of(&self.run).map_err(|errno| fail(errno.into()))?;
        let stream = UnixStream::connect(short.join(SOCKET)).await.map_err(fail)?;
        Ok(Link { stream, came: Vec::new() })
    }

    async fn ask(&self, request: &Request) -> Outcome<Value> {
        self.connect().await?.ask(request, ANSWER_LIMIT).await
    }

    /// Whether the machine stands still.
    ///
    /// # Errors
    /// There is no keeper.
    pub async fn is_paused(&self) -> Outcome<bool> {
        Ok(self.ask(&Request::Status).await?["paused"] == true)
    }

    /// Carries out a command of the monitor's control protocol.
    ///
    /// # Errors
    /// The monitor's own words, or that it is gone.
    pub async fn execute(&self, command: &str, arguments: Value) -> Outcome<Value> {
        self.ask(&Request::Qmp { execute: command.to_owned(), arguments, file: None }).await
    }

    /// Makes a new file, which the monitor knows as `name` from here on.
    ///
    /// # Errors
    /// As [`Self::execute`], or that the file cannot be made.
    pub async fn hand_over(&self, name: &str, file: &Path) -> Outcome<()> {
        let (execute, arguments) = ("getfd".to_owned(), json!({"fdname": name}));
        self.ask(&Request::Qmp { execute, arguments, file: Some(file.to_owned()) }).await.map(drop)
    }

    /// Kills the monitor.
    ///
    /// # Errors
    /// There is no keeper.
    pub async fn kill(&self) -> Outcome<()> {
        self.ask(&Request::Kill).await.map(drop)
    }

    /// The serial port; before it what the guest said of late, with `replay`.
    ///
    /// # Errors
    /// There is no keeper.
    pub async fn console(&self, replay: bool) -> Outcome<Port> {
        let mut link = self.connect().await?;
        link.ask(&Request::Console { replay }, ANSWER_LIMIT).await?;
        Ok(Port { early: link.came, stream: link.stream })
    }

    /// What happens from here on, and whether it stands still now.
    ///
    /// # Errors
    /// There is no keeper.
    pub async fn watch(&self) -> Outcome<(Watch, bool)> {
        let mut link = self.connect().await?;
        let told = link.ask(&Request::Watch, ANSWER_LIMIT).await?;
        Ok((Watch { link }, told["paused"] == true))
    }
}

/// A serial port.
#[derive(Debug)]
pub struct Port {
    /// What came together with the answer.
    pub early: Vec<u8>,
    /// The port.
    pub stream: UnixStream,
}

/// What happens to a machine.
#[derive(Debug)]
pub struct Watch {
    link: Link,
}

impl Watch {
    /// The next that happens; `None` when the keeper is gone without a word.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.link.receive().await {
                Ok(Reply::Event(event)) => return Some(event),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}
