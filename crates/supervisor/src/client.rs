//! The daemon's side of a supervisor's socket (tokio).

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::Mutex,
};

use crate::{
    Error, ExitRecord, Result,
    path::{SOCKET, SocketPath},
    protocol::{self, About, Event, Exec, Framed, Reply, Request, State, framed},
};

/// A supervisor, found by its bundle. Requests share one connection; streams and events have their own.
#[derive(Debug)]
pub struct Handle {
    bundle: PathBuf,
    control: Mutex<Option<UnixStream>>,
}

/// How an exec stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecState {
    /// Its process, as seen by the supervisor.
    pub pid: i32,
    /// Its exit code once it has ended.
    pub code: Option<i32>,
}

impl Handle {
    /// Connects to the supervisor of a bundle.
    ///
    /// # Errors
    /// [`Error::Connect`] when there is none any more; the bundle's [`ExitRecord`] then says what became of it.
    pub async fn connect(bundle: &Path) -> Result<Self> {
        let stream = connect(bundle).await?;
        Ok(Self::over(bundle, stream))
    }

    pub(crate) fn over(bundle: &Path, stream: UnixStream) -> Self {
        Self { bundle: bundle.to_owned(), control: Mutex::new(Some(stream)) }
    }

    /// The bundle directory.
    #[must_use]
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// Lets the created container run; its pid.
    ///
    /// # Errors
    /// [`Error::Failed`] with the step at which the program could not be started; the container has ended then.
    pub async fn start(&self) -> Result<i32> {
        match self.ask(&Request::Start).await? {
            Reply::Started { pid } => Ok(pid),
            other => Err(self.astray(&other)),
        }
    }

    /// How the container stands.
    ///
    /// # Errors
    /// [`Error::Connect`] or [`Error::Talk`].
    pub async fn status(&self) -> Result<State> {
        match self.ask(&Request::Status).await? {
            Reply::State(state) => Ok(state),
            other => Err(self.astray(&other)),
        }
    }

    /// Events from now on; the end of a container that has ended already comes at once.
    ///
    /// # Errors
    /// [`Error::Connect`] or [`Error::Talk`].
    pub async fn watch(&self) -> Result<Watch> {
        let mut stream = connect(&self.bundle).await?;
        match self.exchange(&mut stream, &Request::Watch).await? {
            Reply::Ok => Ok(Watch { bundle: self.bundle.clone(), stream, received: Vec::new() }),
            other => Err(self.astray(&other)),
        }
    }

    /// The container's streams from now on: Docker's frames, or a terminal's raw bytes.
    ///
    /// # Errors
    /// [`Error::Failed`] when the container has ended.
    pub async fn attach(&self, stdin: bool, stdout: bool, stderr: bool) -> Result<UnixStream> {
        let mut stream = connect(&self.bundle).await?;
        match self.exchange(&mut stream, &Request::Attach { stdin, stdout, stderr }).await? {
            Reply::Ok => Ok(stream),
            other => Err(self.astray(&other)),
        }
    }

    /// Starts another process: its pid, and its streams where any is wanted. The stream ends when the process has ended
    /// and its output was passed on; [`exec_status`](Self::exec_status) knows the code by then.
    ///
    /// # Errors
    /// [`Error::Failed`] with the step at which the program could not be started.
    pub async fn exec(&self, exec: Exec) -> Result<(i32, Option<UnixStream>)> {
        let attached = exec.is_attached();
        let mut stream = connect(&self.bundle).await?;
        match self.exchange(&mut stream, &Request::Exec(Box::new(exec))).await? {
            Reply::ExecStarted { pid } => Ok((pid, attached.then_some(stream))),
            other => Err(self.astray(&other)),
        }
    }

    /// Runs a tool of the isolation's: its streams.
    ///
    /// # Errors
    /// As [`exec`](Self::exec).
    pub async fn tool(&self, id: &str, arguments: Vec<String>) -> Result<UnixStream> {
        let mut stream = connect(&self.bundle).await?;
        let request = Request::Tool { id: id.to_owned(), arguments };
        match self.exchange(&mut stream, &request).await? {
            Reply::ExecStarted { .. } => Ok(stream),
            other => Err(self.astray(&other)),
        }
    }

    /// Asks the isolation.
    ///
    /// # Errors
    /// [`Error::Failed`] with its refusal.
    pub async fn inquire(&self, about: About) -> Result<serde_json::Value> {
        match self.ask(&Request::Ask(about)).await? {
            Reply::Told(value) => Ok(value),
            other => Err(self.astray(&other)),
        }
    }

    /// How an exec stands. The last 256 that have ended are remembered.
    ///
    /// # Errors
    /// [`Error::Failed`] when no such exec is known.
    pub async fn exec_status(&self, id: &str) -> Result<ExecState> {
        match self.ask(&Request::ExecStatus { id: id.to_owned() }).await? {
            Reply::Exec { pid, code } => Ok(ExecState { pid, code }),
            other => Err(self.astray(&other)),
        }
    }

    /// Sets the size of the container's or an exec's terminal, in character cells.
    ///
    /// # Errors
    /// [`Error::Failed`] when it has ended or has no terminal.
    pub async fn resize(&self, exec: Option<&str>, rows: u16, cols: u16) -> Result<()> {
        self.ask_done(&Request::Resize { exec: exec.map(str::to_owned), rows, cols }).await
    }

    /// Sends a signal to the main process, or to all.
    ///
    /// # Errors
    /// [`Error::Failed`] when the container has ended, or the kernel refuses.
    pub async fn signal(&self, signal: i32, all: bool) -> Result<()> {
        self.ask_done(&Request::Signal { signal, all }).await
    }

    /// Ends the container's standard input.
    ///
    /// # Errors
    /// [`Error::Failed`] when the container has ended.
    pub async fn close_stdin(&self) -> Result<()> {
        self.ask_done(&Request::CloseStdin).await
    }

    async fn ask_done(&self, request: &Request) -> Result<()> {
        match self.ask(request).await? {
            Reply::Ok => Ok(()),
            other => Err(self.astray(&other)),
        }
    }

    /// One request on the shared connection. A call that is given up takes the connection with it.
    async fn ask(&self, request: &Request) -> Result<Reply> {
        let mut control = self.control.lock().await;
        let mut stream = match control.take() {
            Some(stream) => stream,
            None => connect(&self.bundle).await?,
        };
        let outcome = self.exchange(&mut stream, request).await;
        if matches!(outcome, Ok(_) | Err(Error::Failed(_))) {
            *control = Some(stream);
        }
        outcome
    }

    async fn exchange(&self, stream: &mut UnixStream, request: &Request) -> Result<Reply> {
        let mut frame = Vec::new();
        protocol::encode(&mut frame, request);
        stream.write_all(&frame).await.map_err(|source| self.gone(source))?;
        receive(&self.bundle, stream).await
    }

    fn gone(&self, source: std::io::Error) -> Error {
        Error::Talk { path: self.bundle.clone(), source }
    }

    fn astray(&self, reply: &Reply) -> Error {
        Error::Protocol { path: self.bundle.clone(), answer: format!("{reply:?}") }
    }
}

/// Events of one container.
#[derive(Debug)]
pub struct Watch {
    bundle: PathBuf,
    stream: UnixStream,
    received: Vec<u8>,
}

impl Watch {
    /// The next event; `None` when the supervisor is gone, with everything the container had. Loses nothing when it is
    /// given up.
    ///
    /// # Errors
    /// [`Error::Talk`] or [`Error::Protocol`].
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            match framed(&self.received) {
                Framed::Whole(body) => {
                    let end = body.end;
                    let reply = parse(&self.bundle, &self.received[body]);
                    self.received.drain(..end);
                    match reply? {
                        Reply::Event(event) => return Ok(Some(event)),
                        other => {
                            return Err(Error::Protocol { path: self.bundle.clone(), answer: format!("{other:?}") });
                        }
                    }
                }
                Framed::TooLong(len) => {
                    return Err(Error::Protocol { path: self.bundle.clone(), answer: format!("{len} bytes") });
                }
                Framed::Short => match self.stream.read_buf(&mut self.received).await {
                    Ok(0) => return Ok(None),
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
                    Err(source) => return Err(Error::Talk { path: self.bundle.clone(), source }),
                },
            }
        }
    }

    /// Waits for the end of the container. When the supervisor goes without a word, its record is asked.
    ///
    /// # Errors
    /// [`Error::Talk`] when the supervisor was killed before it could record the end.
    pub async fn exited(&mut self) -> Result<ExitRecord> {
        while let Some(event) = self.next().await? {
            if let Event::Exited(record) = event {
                return Ok(record);
            }
        }
        let lost = || Error::Talk { path: self.bundle.clone(), source: std::io::ErrorKind::UnexpectedEof.into() };
        ExitRecord::read(&self.bundle)?.ok_or_else(lost)
    }
}

/// A fresh connection.
async fn connect(bundle: &Path) -> Result<UnixStream> {
    let fail = |source| Error::Connect { path: bundle.join(SOCKET), source };
    let directory = SocketPath::in_bundle(bundle).map_err(|errno| fail(errno.into()))?;
    UnixStream::connect(directory.get()).await.map_err(fail)
}

/// One reply, and not a byte more: what follows may be a stream. [`Reply::Error`] becomes [`Error::Failed`].
pub(crate) async fn receive(bundle: &Path, stream: &mut UnixStream) -> Result<Reply> {
    let gone = |source| Error::Talk { path: bundle.to_owned(), source };
    let mut head = [0u8; 4];
    stream.read_exact(&mut head).await.map_err(gone)?;
    let len = u32::from_le_bytes(head) as usize;
    if len > protocol::FRAME_MAX {
        return Err(Error::Protocol { path: bundle.to_owned(), answer: format!("a frame of {len} bytes") });
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.map_err(gone)?;
    match parse(bundle, &body)? {
        Reply::Error(failure) => Err(Error::Failed(failure)),
        reply => Ok(reply),
    }
}

fn parse<T: DeserializeOwned>(bundle: &Path, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|error| Error::Protocol { path: bundle.to_owned(), answer: format!("unreadable reply: {error}") })
}
