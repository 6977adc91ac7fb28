//! `export`: a machine as one archive, which needs nothing of its host.
//!
//! ```text
//! machine.toml      the definition, its files under names of its own
//! files/<name>      disks, CD-ROMs, kernel, initramfs; holes stay holes (GNU sparse)
//! ```

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::fd::OwnedFd,
    path::PathBuf,
};

use futures_util::StreamExt as _;

use crate::{
    ByteStream, Error, Machines, Result, Status,
    clone::{own_name, refuse_chain},
    copy,
    definition::is_own,
    machines::{blocking, own_files},
    qemu::path_of,
    record::{Definition, Device, Format},
};

const BUFFER_BYTES: usize = 256 << 10;

impl Machines {
    /// The archive of a machine that is off. Devices of the host that are passed through stay with the host.
    ///
    /// # Errors
    /// [`Error::State`] for one that is not off; later failures end the stream with an error.
    pub async fn export(&self, name: &str) -> Result<ByteStream> {
        let machine = self.find(name)?;
        let turn = machine.turn.lock().await;
        machine.require(&[Status::Off], Error::NOT_OFF)?;
        let own = own_files(&self.shared.home(&machine.name));
        let definition = machine.definition().as_ref().clone();
        let packing = blocking(move || Packing::of(definition, &own)).await?;
        drop(turn);
        self.shared.publish(&machine, "export");
        produce(move |output| packing.write(output))
    }
}

/// What goes into an archive: everything is open before the first byte is sent.
struct Packing {
    definition: Definition,
    files: Vec<(String, File)>,
}

impl Packing {
    fn of(mut definition: Definition, own: &std::path::Path) -> Result<Self> {
        let mut files: Vec<(String, File)> = Vec::new();
        let mut add = |name: &str, path: PathBuf| {
            if !files.iter().any(|(known, _)| known == name) {
                files.push((name.to_owned(), copy::open(&path)?));
            }
            Ok::<_, Error>(())
        };
        let boot = &mut definition.boot;
        for (name, source) in [("kernel", &mut boot.kernel), ("initramfs", &mut boot.initramfs)] {
            let Some(source) = source else { continue };
            let path = path_of(own, source);
            if !is_own(source) {
                name.clone_into(source);
            }
            add(source, path)?;
        }
        for disk in &mut definition.disks {
            let path = path_of(own, &disk.source);
            refuse_chain(&path, disk)?;
            if !is_own(&disk.source) {
                disk.source = match (disk.device, disk.format) {
                    (Device::Cdrom, Format::Raw) => format!("{}.iso", disk.name),
                    (_, format) => own_name(&disk.name, format),
                };
            }
            disk.allow_backing = false;
            add(&disk.source, path)?;
        }
        definition.pci.clear();
        definition.check()?;
        Ok(Self { definition, files })
    }

    fn write(mut self, output: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(output);
        archive.mode(tar::HeaderMode::Deterministic);
        let text = self.definition.text().map_err(io::Error::other)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, "machine.toml", text.as_bytes())?;
        for (name, file) in &mut self.files {
            archive.append_file(format!("files/{name}"), file)?;
        }
        archive.into_inner()?.flush()
    }
}

/// Runs `write` on a thread of its own; what it writes is the stream, and its failure the stream's end.
fn produce(write: impl FnOnce(BufWriter<File>) -> io::Result<()> + Send + 'static) -> Result<ByteStream> {
    let (reader, writer) = pipe()?;
    let done = tokio::task::spawn_blocking(move || write(BufWriter::with_capacity(BUFFER_BYTES, File::from(writer))));
    let receiver = tokio::net::unix::pipe::Receiver::from_owned_fd(reader)
        .map_err(Error::file("read", std::path::Path::new("archive pipe")))?;
    let bytes = tokio_util::io::ReaderStream::with_capacity(receiver, 64 << 10);
    // A cut archive must not look like a whole one.
    let end = futures_util::stream::once(async move {
        match done.await {
            Ok(Err(error)) => Some(Err(error)),
            Ok(Ok(())) => None,
            Err(_) => Some(Err(io::Error::other("the archive's writer died"))),
        }
    });
    Ok(bytes.chain(end.filter_map(|item| async move { item })).boxed())
}

/// Both ends are closed when a program is executed.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| Error::file("make", std::path::Path::new("archive pipe"))(errno.into()))
}
