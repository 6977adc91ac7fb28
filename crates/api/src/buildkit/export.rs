//! What the result of a solve becomes: an image with names, pushed if asked for; files or archives for the client.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use berth_build::Finished;
use berth_buildkit::{
    grpc::{Code, Status},
    progress::Progress,
    proto::{Timestamp, control::Vertex},
    request::{Export, ExportKind},
    session::{FileSink, Session},
};
use berth_image::Bundle;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::builder::berth_build_id;
use crate::Engine;

/// Pieces of an archive between the packer and the session.
const PIECES: usize = 8;
/// Options of the image exporter that change nothing here.
const IDLE: &[&str] =
    &["load", "unpack", "store", "prefer-image-digest", "oci-artifact", "name-canonical", "dangling-name-prefix"];

/// The exporters of one solve.
pub struct Plan {
    /// Names of the image.
    pub names: Vec<String>,
    /// The image goes to the registry of each of its names.
    pub push: bool,
    client: Vec<Export>,
}

/// Reads the exporters' options.
pub fn plan(exports: &[Export]) -> Result<Plan, Status> {
    let mut plan = Plan { names: Vec::new(), push: false, client: Vec::new() };
    for export in exports {
        for (name, value) in &export.attrs {
            let known = match name.as_str() {
                "name" | "tar" | "mode" | "dest" | "platform-split" => true,
                "push" if export.kind == ExportKind::Image => {
                    plan.push |= value == "true";
                    true
                }
                // Times are those of SOURCE_DATE_EPOCH wherever it is given.
                "rewrite-timestamp" => value == "true",
                "oci-mediatypes" if export.kind == ExportKind::Oci => value == "true",
                name => IDLE.contains(&name),
            };
            if !known {
                let message = format!("option {name:?} of the exporter is not there with the value {value:?}");
                return Err(Status::new(Code::Unimplemented, message));
            }
        }
        let names = export.attrs.get("name").map(String::as_str).unwrap_or_default();
        plan.names.extend(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
        if export.kind != ExportKind::Image {
            plan.client.push(export.clone());
        }
    }
    Ok(plan)
}

/// Exports; gives what clients are told of the result.
pub async fn run(
    engine: &Engine,
    session: &Arc<Session>,
    plan: &Plan,
    finished: &Finished,
    progress: &Progress,
) -> Result<BTreeMap<String, String>, Status> {
    let mut told = BTreeMap::new();
    let Some(image) = finished.images.first() else { return Ok(told) };
    let id = image.id.to_string();
    told.insert("containerimage.digest".to_owned(), id.clone());
    told.insert("containerimage.config.digest".to_owned(), id.clone());
    if !plan.names.is_empty() {
        told.insert("image.name".to_owned(), plan.names.join(","));
    }
    let several = finished.images.len() > 1;
    for export in &plan.client {
        if several && export.kind != ExportKind::Oci {
            let message =
                format!("output {:?} of several platforms is not there: use type=oci or a registry", export.kind);
            return Err(Status::new(Code::Unimplemented, message));
        }
        let name = match export.kind {
            ExportKind::Local => "exporting to client directory",
            ExportKind::Tar => "exporting to client tarball",
            ExportKind::Oci => "exporting to oci image format",
            _ => "exporting to docker image format",
        };
        let work = async {
            match export.kind {
                ExportKind::Local => {
                    let (root, _guard) = engine.builder.files(&image.id).await.map_err(super::builder::failed)?;
                    session.send_tree(export.index, root).await.map(drop)
                }
                ExportKind::Tar => tar(engine, session, export.index, &image.id).await,
                ExportKind::Oci => {
                    let images = finished.images.iter().map(|image| image.id.clone()).collect();
                    let bundle = Bundle { images, always_index: several };
                    let pieces = engine.images.save_bundle(&bundle, &plan.names).await;
                    archive(pieces, session, export.index).await
                }
                _ => {
                    let names = if plan.names.is_empty() { vec![id.clone()] } else { plan.names.clone() };
                    archive(engine.images.save(&names).await, session, export.index).await
                }
            }
        };
        step(progress, &finished.reference, name, work).await?;
    }
    if let Some(digest) = &finished.pushed {
        told.insert("containerimage.digest".to_owned(), digest.to_string());
    }
    Ok(told)
}

/// A step of the door's own, told from beginning to end.
pub(super) async fn step<T>(
    progress: &Progress,
    reference: &str,
    name: &str,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let digest = berth_build_id(reference, name);
    let vertex = Vertex { digest, name: name.to_owned(), started: Some(Timestamp::now()), ..Vertex::default() };
    progress.vertex(vertex.clone());
    let outcome = work.await;
    let error = outcome.as_ref().err().map(|status| status.message.clone()).unwrap_or_default();
    progress.vertex(Vertex { completed: Some(Timestamp::now()), error, ..vertex });
    outcome
}

/// The files as a tar.
async fn tar(engine: &Engine, session: &Session, index: usize, id: &berth_spec::Digest) -> Result<(), Status> {
    let (root, guard) = engine.builder.files(id).await.map_err(super::builder::failed)?;
    let mut sink = session.file_sink(index, &BTreeMap::new()).await?;
    let (pieces, mut packed) = mpsc::channel(PIECES);
    let packing = tokio::task::spawn_blocking(move || {
        let options = berth_archive::pack::TreeOptions::default();
        let output = io::BufWriter::with_capacity(1 << 17, Pieces(pieces));
        let packed = berth_archive::pack::tree(std::os::fd::AsFd::as_fd(&root), Path::new("/"), output, &options);
        drop(guard);
        packed
            .map_err(|error| error.to_string())
            .and_then(|mut output| io::Write::flush(&mut output).map_err(|e| e.to_string()))
    });
    while let Some(piece) = packed.recv().await {
        sink.write(&piece).await?;
    }
    packing.await.map_err(Status::gone)?.map_err(|reason| Status::new(Code::Unknown, reason))?;
    sink.finish().await
}

/// An archive of images, sent as it is made.
async fn archive(
    pieces: berth_image::Result<berth_image::ByteStream>,
    session: &Session,
    index: usize,
) -> Result<(), Status> {
    let failed = |error: &dyn std::fmt::Display| Status::new(Code::Unknown, error.to_string());
    let mut stream = pieces.map_err(|error| failed(&error))?;
    let mut sink: FileSink = session.file_sink(index, &BTreeMap::new()).await?;
    while let Some(piece) = stream.next().await {
        sink.write(&piece.map_err(|error| failed(&error))?).await?;
    }
    sink.finish().await
}

/// A writer whose bytes go to a task.
struct Pieces(mpsc::Sender<Vec<u8>>);

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
