//! The files of a container in a virtual machine: looked at and changed by tools in its guest, or, when it does not run,
//! in the guest of a machine that is started for the tool.

use std::{
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use berth_archive::{
    IdShift,
    unpack::{Limits, Whiteouts, unpack_layer},
};
use berth_kit::id;
use berth_spec::stream::{Decoder, Stream};
use berth_vm::guest::tool::{Facts, NO_DIRECTORY, NO_SUCH_PATH};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    task::JoinHandle,
};

use super::refused;
use crate::{ByteStream, Change, Containers, Error, Result, containers::Container, record::Record, rootfs::blocking};

/// What a tool may say at most that is not an archive, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// What comes before an archive is shorter, in bytes: a path twice at most.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What is kept of its complaints, in bytes.
const SAID_BYTES_MAX: usize = 4096;
/// Identifiers of tools among a supervisor's execs.
pub(crate) const PREFIX: &str = "tool-";

/// How a tool ended.
struct Ended {
    code: i32,
    said: String,
}

/// A tool at work. It goes on to its end, whoever waits for it.
struct Tool {
    output: mpsc::Receiver<Bytes>,
    ended: JoinHandle<Result<Ended>>,
    /// For sentences.
    container: String,
    path: String,
}

impl Tool {
    /// The end; anything but success is an error.
    async fn end(self) -> Result<()> {
        let Self { output, ended, container, path } = self;
        // A tool that still writes is told that nobody reads.
        drop(output);
        let ended = ended.await.map_err(|panic| Error::Conflict(format!("a tool died: {panic}")))??;
        match u8::try_from(ended.code).unwrap_or(u8::MAX) {
            0 => Ok(()),
            NO_SUCH_PATH => Err(Error::NoSuchPath { path, container }),
            NO_DIRECTORY => Err(Error::Invalid("extraction point is not a directory".to_owned())),
            _ => Err(Error::Invalid(ended.said.trim().to_owned())),
        }
    }

    /// All that it writes.
    async fn answer(mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(bytes) = self.output.recv().await {
            if all.len() + bytes.len() > ANSWER_BYTES_MAX {
                return Err(Error::Conflict("the virtual machine's answer is too long".to_owned()));
            }
            all.extend_from_slice(&bytes);
        }
        self.end().await.map(|()| all)
    }

    /// What it writes as it comes, `first` before it. A failure is the last item: a cut archive must not look whole.
    fn stream(self, first: Bytes) -> ByteStream {
        let rest = stream::unfold(Some(self), |tool| async {
            let mut tool = tool?;
            match tool.output.recv().await {
                Some(bytes) => Some((Ok(bytes), Some(tool))),
                None => tool.end().await.err().map(|error| (Err(std::io::Error::other(error.to_string())), None)),
            }
        });
        stream::iter((!first.is_empty()).then_some(Ok(first))).chain(rest).boxed()
    }
}

impl Containers {
    /// What lies at a path.
    pub(crate) async fn machine_stat(&self, container: &Arc<Container>, path: &str) -> Result<Facts> {
        understood(&self.tool(container, &["stat", path], path, None, false).answer().await?)
    }

    /// An archive of what lies at a path.
    pub(crate) async fn machine_get(&self, container: &Arc<Container>, path: &str) -> Result<(Facts, ByteStream)> {
        let base = path.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("/");
        let mut tool = self.tool(container, &["get", path, base], path, None, false);
        let mut head = Vec::new();
        loop {
            if let Some(end) = head.iter().position(|byte| *byte == b'\n') {
                let facts = understood(&head[..end])?;
                return Ok((facts, tool.stream(Bytes::copy_from_slice(&head[end + 1..]))));
            }
            match tool.output.recv().await {
                Some(bytes) if head.len() < HEAD_BYTES_MAX => head.extend_from_slice(&bytes),
                Some(_) => return Err(Error::Conflict("the virtual machine's answer is too long".to_owned())),
                None => {
                    tool.end().await?;
                    return Err(Error::Conflict("the virtual machine has not answered".to_owned()));
                }
            }
        }
    }

    /// Unpacks an archive at a path; its owners stay, unless a user is to own everything.
    pub(crate) async fn machine_put(
        &self,
        container: &Arc<Container>,
        path: &str,
        keep_kind: bool,
        owner: &str,
        body: ByteStream,
    ) -> Result<()> {
        let arguments = ["put", path, if keep_kind { "keep-kind" } else { "any" }, owner];
        self.tool(container, &arguments, path, Some(body), false).answer().await.map(drop)
    }

    /// What differs from the image.
    pub(crate) async fn machine_changes(&self, container: &Arc<Container>) -> Result<Vec<Change>> {
        let answer = self.tool(container, &["changes"], "/", None, false).answer().await?;
        let found: Vec<(String, u8)> = understood(&answer)?;
        Ok(found.into_iter().map(|(path, kind)| Change { path, kind }).collect())
    }

    /// The whole root file system.
    pub(crate) fn machine_export(&self, container: &Arc<Container>) -> ByteStream {
        self.tool(container, &["export"], "/", None, false).stream(Bytes::new())
    }

    /// The changes, unpacked into a new directory as a layer. The caller has the container's turn, and removes it.
    pub(crate) async fn machine_layer(&self, container: &Arc<Container>, pause: bool) -> Result<PathBuf> {
        let place = self.shared.config.container_dir(&container.id).join(format!("commit-{}", id::generate()));
        std::fs::create_dir_all(&place).map_err(|error| Error::file("make", &place, error))?;
        let arguments: &[&str] = if pause { &["layer", "paused"] } else { &["layer"] };
        let archive = self.tool(container, arguments, "/", None, true).stream(Bytes::new());
        let (failure, mut failures) = mpsc::unbounded_channel();
        let watched = archive.inspect(move |item| {
            if let Err(error) = item {
                let _ = failure.send(error.to_string());
            }
        });
        let reader = crate::archive::consume(watched.boxed())?;
        let target = place.clone();
        let unpacked = blocking(move || {
            let directory = std::fs::File::open(&target).map_err(|error| Error::file("open", &target, error))?;
            let limits = Limits::default();
            unpack_layer(reader, directory.as_fd(), &limits, Whiteouts::Overlay, IdShift::default())?;
            Ok(())
        })
        .await;
        let outcome = match failures.recv().await {
            Some(text) => Err(Error::Conflict(text)),
            None => unpacked,
        };
        if outcome.is_err() {
            let _ = std::fs::remove_dir_all(&place);
        }
        outcome.map(|()| place)
    }

    /// Starts a tool. `in_turn`: the caller has the container's turn.
    fn tool(
        &self,
        container: &Arc<Container>,
        arguments: &[&str],
        path: &str,
        input: Option<ByteStream>,
        in_turn: bool,
    ) -> Tool {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let (sender, output) = mpsc::channel(16);
        let (this, of) = (self.clone(), container.clone());
        let ended = tokio::spawn(async move {
            if of.status().is_alive() {
                return this.tool_inside(&of, arguments, input, sender).await;
            }
            // Two machines must not have one disk.
            let _turn = if in_turn { None } else { Some(of.turn.lock().await) };
            if of.status().is_alive() {
                return this.tool_inside(&of, arguments, input, sender).await;
            }
            this.tool_beside(&of, &arguments, input, sender).await
        });
        Tool { output, ended, container: container.id.clone(), path: path.to_owned() }
    }

    /// In the guest of a container that runs.
    async fn tool_inside(
        &self,
        container: &Container,
        arguments: Vec<String>,
        input: Option<ByteStream>,
        output: mpsc::Sender<Bytes>,
    ) -> Result<Ended> {
        let handle = self.supervisor(&container.id).await?;
        let id = format!("{PREFIX}{}", id::generate());
        let (mut reader, writer) = handle.tool(&id, arguments).await?.into_split();
        let drain = async {
            let (mut decoder, mut said, mut buffer) = (Decoder::default(), Vec::new(), vec![0; 64 << 10]);
            while let Ok(len @ 1..) = reader.read(&mut buffer).await {
                decoder.push(&buffer[..len]);
                while let Ok(Some((stream, bytes))) = decoder.next_frame() {
                    match stream {
                        Stream::Stderr => keep(&mut said, &bytes),
                        // Nobody may be left who reads; the tool goes to its end.
                        _ => drop(output.send(bytes).await),
                    }
                }
            }
            said
        };
        let said = beside(drain, feed(input, writer)).await;
        let code = handle.exec_status(&id).await?.code.unwrap_or(255);
        Ok(Ended { code, said: String::from_utf8_lossy(&said).into_owned() })
    }

    /// In the guest of a machine that is made for it.
    async fn tool_beside(
        &self,
        container: &Container,
        arguments: &[String],
        input: Option<ByteStream>,
        output: mpsc::Sender<Bytes>,
    ) -> Result<Ended> {
        let record = container.read().clone();
        let name = format!("{PREFIX}{}", id::generate());
        let bundle = self.shared.config.runtime_root.join("tools").join(&name);
        let ids =
            self.shared.ids.take().ok_or_else(|| Error::Conflict("all ranges of user ids are in use".to_owned()))?;
        let outcome = match self.write_tool(&record, &name, &bundle, (ids.host_base, ids.len), arguments).await {
            Ok(()) => run(&self.shared.config.exe, &bundle, input, output).await,
            Err(error) => Err(error),
        };
        self.shared.ids.release(ids);
        let _ = std::fs::remove_dir_all(&bundle);
        outcome
    }

    async fn write_tool(
        &self,
        record: &Record,
        name: &str,
        bundle: &Path,
        ids: (u32, u32),
        arguments: &[String],
    ) -> Result<()> {
        let io = |error| Error::file("prepare a tool in", bundle, error);
        std::fs::create_dir_all(bundle).map_err(io)?;
        let cgroup = format!("/{}/{name}", self.shared.config.cgroup_parent.trim_matches('/'));
        let (plan, _) = self.plan(record, ids, cgroup, (false, Vec::new())).await?;
        // No file of the container's is given to a guest that runs nothing of it.
        let plan = berth_vm::plan::Plan { volatile: false, sysctls: Vec::new(), ..plan };
        plan.write(bundle).map_err(refused)?;
        let text = serde_json::to_vec(arguments).unwrap_or_default();
        std::fs::write(bundle.join("tool.json"), text).map_err(io)
    }
}

/// Runs the supervisor of a tool's machine.
async fn run(exe: &Path, bundle: &Path, input: Option<ByteStream>, output: mpsc::Sender<Bytes>) -> Result<Ended> {
    let io = |error| Error::file("run a tool in", bundle, error);
    let mut argument = std::ffi::OsString::from("--tool=");
    argument.push(bundle);
    let mut command = tokio::process::Command::new(exe);
    command.arg0("berth").arg("supervise").arg(argument).env_clear();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(io)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let drain = async {
        let pass = async {
            let Some(mut stdout) = stdout else { return };
            let mut buffer = vec![0; 64 << 10];
            while let Ok(len @ 1..) = stdout.read(&mut buffer).await {
                let _ = output.send(Bytes::copy_from_slice(&buffer[..len])).await;
            }
        };
        tokio::join!(pass, complaints(stderr)).1
    };
    let said = match stdin {
        Some(stdin) => beside(drain, feed(input, stdin)).await,
        None => drain.await,
    };
    let status = child.wait().await.map_err(io)?;
    Ok(Ended { code: status.code().unwrap_or(255), said: String::from_utf8_lossy(&said).into_owned() })
}

async fn complaints(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let (mut said, mut buffer) = (Vec::new(), vec![0; 4096]);
    let Some(mut from) = from else { return said };
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        keep(&mut said, &buffer[..len]);
    }
    said
}

fn keep(said: &mut Vec<u8>, bytes: &[u8]) {
    let room = SAID_BYTES_MAX.saturating_sub(said.len());
    said.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// Gives a tool its input, and then its end.
async fn feed(input: Option<ByteStream>, mut to: impl AsyncWrite + Unpin) {
    if let Some(mut input) = input {
        while let Some(Ok(bytes)) = input.next().await {
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
    let _ = to.shutdown().await;
}

/// Runs both; a tool that ends early wants no more input.
async fn beside<T>(drain: impl Future<Output = T>, feed: impl Future<Output = ()>) -> T {
    let (mut drain, mut feed) = (std::pin::pin!(drain), std::pin::pin!(feed));
    tokio::select! {
        said = &mut drain => said,
        () = &mut feed => drain.await,
    }
}

fn understood<T: serde::de::DeserializeOwned>(answer: &[u8]) -> Result<T> {
    serde_json::from_slice(answer)
        .map_err(|error| Error::Conflict(format!("the virtual machine's answer makes no sense: {error}")))
}
