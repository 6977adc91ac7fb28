//! `logs`: what a container wrote, from its log files, and what it goes on writing.

use std::{os::fd::OwnedFd, time::Duration};

use berth_kit::time::Timestamp;
use berth_log::{ReadOptions, Reader, Record as Line};
use berth_spec::stream::{self, Stream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::{io::unix::AsyncFd, sync::watch};

use crate::{
    Containers, Error, Logs, LogsRequest, Result, bundle, containers::Progress, record::Status, rootfs::blocking,
};

/// Lines are gathered up to so many bytes before they are sent.
const BATCH_BYTES: usize = 64 << 10;
/// A follower looks again after this time even when nothing woke it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Containers {
    /// Log lines of a container, in wire form.
    ///
    /// # Errors
    /// [`Error::Invalid`] when no stream is chosen, [`Error::Log`] when its driver cannot be read.
    pub async fn logs(&self, name: &str, request: LogsRequest) -> Result<Logs> {
        if !request.stdout && !request.stderr {
            return Err(Error::Invalid("Bad parameters: you must choose at least one stream".to_owned()));
        }
        let container = self.shared.find(name)?;
        let record = container.read().clone();
        let driver = bundle::log_config(&record).driver;
        let path = bundle::log_path(&self.shared.config, &record);
        let progress = container.progress.subscribe();
        let follow = request.follow && is_active(&progress.borrow());
        let options = ReadOptions {
            since: request.since,
            until: request.until,
            tail: request.tail,
            stdout: request.stdout,
            stderr: request.stderr,
            follow,
        };
        let grown = if follow { Some(berth_log::watch(&path)?) } else { None };
        let reader = blocking(move || Ok(Reader::open(&driver, &path, options)?)).await?;
        let tty = record.tty();
        let shape = Shape { tty, timestamps: request.timestamps, details: request.details };
        let state = Follower {
            reader: Some(reader),
            progress,
            grown: grown.map(watched).transpose().ok().flatten(),
            shape,
            until: request.until,
        };
        let stream = futures_util::stream::unfold(state, |mut state| async move {
            let batch = state.next_batch().await?;
            Some((batch, state))
        });
        Ok(Logs { tty, stream: stream.boxed() })
    }
}

fn is_active(progress: &Progress) -> bool {
    !progress.removed && matches!(progress.status, Status::Running | Status::Paused | Status::Restarting)
}

/// How a line looks on the wire.
#[derive(Clone, Copy)]
struct Shape {
    tty: bool,
    timestamps: bool,
    details: bool,
}

struct Follower {
    /// `None` while a blocking thread has it.
    reader: Option<Reader>,
    progress: watch::Receiver<Progress>,
    grown: Option<AsyncFd<OwnedFd>>,
    shape: Shape,
    until: Option<Timestamp>,
}

impl Follower {
    /// The next lines, or `None` at the end.
    async fn next_batch(&mut self) -> Option<std::io::Result<Bytes>> {
        loop {
            // Looked at before reading: what was written until the end is then surely read after it.
            let ended = !is_active(&self.progress.borrow());
            let mut reader = self.reader.take()?;
            if ended {
                reader.stop_following();
            }
            let shape = self.shape;
            let read = tokio::task::spawn_blocking(move || {
                let outcome = gather(&mut reader, shape);
                (reader, outcome)
            });
            let (reader, outcome) = read.await.ok()?;
            let finished = reader.is_finished();
            match outcome {
                Err(error) => return Some(Err(error)),
                Ok(bytes) if !bytes.is_empty() => {
                    self.reader = Some(reader);
                    return Some(Ok(bytes));
                }
                Ok(_) if finished || ended || self.grown.is_none() => return None,
                Ok(_) => self.reader = Some(reader),
            }
            if self.until.is_some_and(|until| Timestamp::now() > until) {
                return None;
            }
            self.grow().await;
        }
    }

    /// Waits until the log grew, the container's state changed, or a while has passed.
    async fn grow(&mut self) {
        let Some(grown) = &self.grown else { return };
        tokio::select! {
            ready = grown.readable() => {
                if let Ok(mut guard) = ready {
                    let mut sink = [0u8; 4096];
                    while rustix::io::read(grown.get_ref(), &mut sink).is_ok_and(|read| read > 0) {}
                    guard.clear_ready();
                }
            }
            _ = self.progress.changed() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

fn gather(reader: &mut Reader, shape: Shape) -> std::io::Result<Bytes> {
    let mut batch = BytesMut::new();
    while batch.len() < BATCH_BYTES {
        match reader.next() {
            Some(Ok(line)) => put(&mut batch, &line, shape),
            Some(Err(error)) => return Err(std::io::Error::other(error.to_string())),
            None => break,
        }
    }
    Ok(batch.freeze())
}

fn put(batch: &mut BytesMut, line: &Line, shape: Shape) {
    let mut head = String::new();
    if shape.timestamps {
        head.push_str(&format!("{:.9} ", line.at));
    }
    if shape.details {
        let pairs: Vec<String> = line.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        head.push_str(&pairs.join(","));
        head.push(' ');
    }
    if !shape.tty {
        let stream = if line.stream == Stream::Stderr { Stream::Stderr } else { Stream::Stdout };
        batch.extend_from_slice(&stream::header(stream, head.len() + line.bytes.len()));
    }
    batch.extend_from_slice(head.as_bytes());
    batch.extend_from_slice(&line.bytes);
}

#[expect(deprecated, reason = "sound here: the descriptor is owned and stays the same")]
fn watched(descriptor: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}
