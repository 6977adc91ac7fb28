//! `GET /berth/build/history`: builds of the past and what they said; the files of what was built.

use std::{os::fd::AsFd, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::Response,
};
use berth_build::HistoryFilter;
use berth_spec::Digest;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{
    Engine, Error,
    failure::Answer,
    stream::{self, TAR},
};

/// Pieces of an archive that may wait.
const QUEUE: usize = 16;

pub async fn list(State(engine): State<Arc<Engine>>) -> Answer {
    stream::json(&engine.builder.history(&HistoryFilter::default())?)
}

/// `last` is the newest.
pub async fn inspect(State(engine): State<Arc<Engine>>, Path(reference): Path<String>) -> Answer {
    stream::json(&engine.builder.build_record(name(&reference))?)
}

pub async fn remove(State(engine): State<Arc<Engine>>, Path(reference): Path<String>) -> Answer {
    engine.builder.forget_build(name(&reference))?;
    stream::done()
}

pub async fn logs(State(engine): State<Arc<Engine>>, Path(reference): Path<String>) -> Answer {
    let events = engine.builder.build_events(name(&reference))?;
    let mut response = Response::new(Body::from(events));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

fn name(reference: &str) -> &str {
    if reference == "last" { "" } else { reference }
}

/// `GET /berth/build/files/{image}`: the image's own files as a tar archive.
pub async fn files(State(engine): State<Arc<Engine>>, Path(image): Path<String>) -> Answer {
    let id = Digest::parse(&image).map_err(|error| Error::Invalid(error.to_string()))?;
    let (root, guard) = engine.builder.files(&id).await?;
    Ok(packed(root, guard))
}

/// A folder as a tar archive; `guard` keeps it until it is packed.
pub fn packed(root: std::os::fd::OwnedFd, guard: Box<dyn std::any::Any + Send + Sync>) -> Response {
    let (sender, mut pieces) = mpsc::channel::<std::io::Result<Bytes>>(QUEUE);
    tokio::task::spawn_blocking(move || {
        let output = std::io::BufWriter::with_capacity(64 << 10, Sink(sender.clone()));
        let options = berth_archive::pack::TreeOptions::default();
        let packed = berth_archive::pack::tree(root.as_fd(), std::path::Path::new("/"), output, &options);
        let packed = packed.map_err(std::io::Error::other).and_then(|mut output| std::io::Write::flush(&mut output));
        drop((root, guard));
        if let Err(error) = packed {
            let _ = sender.blocking_send(Err(error));
        }
    });
    let body = futures_util::stream::poll_fn(move |context| pieces.poll_recv(context));
    stream::bytes(TAR, Box::pin(body))
}

struct Sink(mpsc::Sender<std::io::Result<Bytes>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
