//! The image that needs no registry: this very program, which greets when it is run.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter},
    os::unix::fs::MetadataExt,
    path::Path,
};

use berth_archive::tar::{Entry, Kind, Writer};
use berth_spec::{Digest, image::ImageConfig};

use crate::{
    Error, Images, Result,
    collect::Build,
    images::Shared,
    import::{blank, finish},
    layer,
};

/// Name of the embedded image.
pub const HELLO: &str = "berth/hello:latest";
/// Label that tells from which file the image was made.
const SOURCE_LABEL: &str = "berth.hello.source";

impl Images {
    /// Makes [`HELLO`] of the program at `exe`, unless it is there already, and gives its id.
    ///
    /// # Errors
    /// [`Error::File`] when the program cannot be read, or the stores' failures.
    pub async fn ensure_hello(&self, exe: &Path) -> Result<Digest> {
        let exe = exe.to_owned();
        self.blocking(move |shared| {
            let failed = |source| Error::File { act: "read", path: exe.display().to_string(), source };
            let file = File::open(&exe).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            let source = format!("{}-{}.{:09}", metadata.len(), metadata.mtime(), metadata.mtime_nsec());
            if let Ok(image) = shared.find(HELLO) {
                let label = image.config.config.labels.as_ref().and_then(|labels| labels.get(SOURCE_LABEL));
                if label == Some(&source) {
                    return Ok(image.id.clone());
                }
            }
            let build = Build::begin(shared);
            let outcome = build_hello(shared, file, metadata.len(), source);
            build.tidy();
            outcome
        })
        .await
    }
}

fn build_hello(shared: &Shared, file: File, size: u64, source: String) -> Result<Digest> {
    let mut config: ImageConfig = blank("")?;
    config.config.cmd = Some(vec!["/berth".to_owned(), "hello".to_owned()]);
    config.config.env = Some(vec!["PATH=/".to_owned()]);
    config.config.labels = Some([(SOURCE_LABEL.to_owned(), source)].into());
    config.history[0].created_by = Some("berth: this program as an image".to_owned());
    let (receiver, sender) =
        io::pipe().map_err(|source| Error::File { act: "make", path: "a pipe".to_owned(), source })?;
    let stored = std::thread::scope(|scope| {
        let packing = scope.spawn(move || {
            let mut archive = Writer::new(BufWriter::with_capacity(berth_archive::BUFFER_BYTES, sender));
            let mut entry = Entry::new("berth", Kind::File);
            (entry.mode, entry.size) = (0o755, size);
            archive.append(&entry, &mut BufReader::with_capacity(berth_archive::BUFFER_BYTES, file))?;
            archive.finish().map(drop)
        });
        let stored = layer::store(&shared.content, receiver);
        match packing.join() {
            Ok(Ok(())) => stored,
            Ok(Err(error)) => stored.and(Err(error.into())),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    config.rootfs.diff_ids.push(layer::diff_id(&shared.content, &stored)?);
    layer::make(shared, layer::plans(&config.rootfs.diff_ids, vec![stored])?, None)?;
    finish(shared, config, None, Some(HELLO))
}
