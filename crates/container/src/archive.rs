//! `cp`: files out of and into a container, running or not.
//!
//! A running container's own view is used (through /proc, volumes and all), resolved descriptor-relative so that no
//! process in it can lead the engine astray; a stopped one's layers are mounted for the caller, and a path below one
//! of its mounts is looked up in that mount's source.

use std::{
    io::Write as _,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use berth_archive::{
    IdShift,
    pack::{self, TreeOptions},
    unpack::{self, ExtractOptions},
};
use berth_kit::guard::{Guard, stands};
use berth_kit::time::{Timestamp, format_nano};
use berth_sys::process::FilesystemIds;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::{
    ByteStream, Containers, Error, PutRequest, Result,
    containers::Container,
    record::MountKind,
    rootfs::{Root, blocking},
};

/// What lies at a path (Engine API, header `X-Docker-Container-Path-Stat`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStat {
    /// Last component.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Go's `os.FileMode`.
    pub mode: u32,
    /// RFC 3339.
    pub mtime: String,
    /// Of a symbolic link, else empty.
    #[serde(rename = "linkTarget")]
    pub link_target: String,
}

impl Containers {
    /// What lies at `path` in a container.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`].
    pub async fn archive_stat(&self, name: &str, path: &str) -> Result<PathStat> {
        let container = self.shared.find(name)?;
        match self.root_of(&container, path).await? {
            Place::Here(root, path) => {
                let missing = no_such_path(name, &path);
                blocking(move || stat(&root, &path, missing)).await
            }
            Place::Guest(path) => {
                let facts = self.machine_stat(&container, &path).await.map_err(|error| asked_as(name, error))?;
                Ok(shown(&path, &facts))
            }
        }
    }

    /// What lies at `path` as an archive, and its stat.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`]; later failures end the stream with an error.
    pub async fn archive_get(&self, name: &str, path: &str) -> Result<(PathStat, ByteStream)> {
        let container = self.shared.find(name)?;
        let (root, path) = match self.root_of(&container, path).await? {
            Place::Here(root, path) => (root, path),
            Place::Guest(path) => {
                let found = self.machine_get(&container, &path).await;
                let (facts, stream) = found.map_err(|error| asked_as(name, error))?;
                self.shared.publish(&container, "archive-path", &[]);
                return Ok((shown(&path, &facts), stream));
            }
        };
        let missing = no_such_path(name, &path);
        let wanted = path.clone();
        run_foreign(&root, "lib/libnss_files.so.2");
        let (root, stat) = blocking(move || stat(&root, &wanted, missing).map(|stat| (root, stat))).await?;
        self.shared.publish(&container, "archive-path", &[]);
        let options = TreeOptions { base: Some(stat.name.clone()), shift: shift(&root), ..TreeOptions::default() };
        let stream = produce(move |output| {
            pack::tree(root.fd.as_fd(), Path::new(&path), output, &options).map(drop).map_err(other)
        })?;
        Ok((stat, stream))
    }

    /// Unpacks an archive into the directory at `path`.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`], [`Error::Invalid`] when it is no directory, [`Error::Archive`] for what the archive does.
    pub async fn archive_put(&self, name: &str, path: &str, request: PutRequest, body: ByteStream) -> Result<()> {
        let container = self.shared.find(name)?;
        if container.read().host.readonly_rootfs.unwrap_or(false) && !self.is_in_mount(&container, path) {
            return Err(Error::Conflict("container rootfs is marked read-only".to_owned()));
        }
        // As dockerd: the archive's owners stay, unless everything is to be owned by the user that the container has.
        let user = container.read().config.user.clone().filter(|user| request.copy_uid_gid && !user.is_empty());
        let (root, path) = match self.root_of(&container, path).await? {
            Place::Here(root, path) => (root, path),
            Place::Guest(path) => {
                let owner = user.unwrap_or_default();
                let put = self.machine_put(&container, &path, request.no_overwrite_dir_non_dir, &owner, body);
                put.await.map_err(|error| asked_as(name, error))?;
                self.shared.publish(&container, "extract-to-dir", &[]);
                return Ok(());
            }
        };
        let missing = no_such_path(name, &path);
        let owner = user.map(|user| {
            let identity = berth_runtime::user::resolve::<&str>(root.fd.as_fd(), &user, &[])
                .map_err(|error| Error::Invalid(error.to_string()))?;
            Ok::<_, Error>((identity.uid, identity.gid))
        });
        let owner = owner.transpose()?;
        let options = ExtractOptions {
            no_overwrite_dir_non_dir: request.no_overwrite_dir_non_dir,
            owner,
            shift: shift(&root),
            ..ExtractOptions::default()
        };
        let reader = consume(body)?;
        run_foreign(&root, "bin/unpigz");
        blocking(move || {
            let followed = format!("{}/.", path.trim_end_matches('/'));
            let found = stat(&root, &followed, missing)?;
            if found.mode & GO_DIR == 0 {
                return Err(Error::Invalid("extraction point is not a directory".to_owned()));
            }
            let decoded = berth_archive::compression::decoder(std::io::BufReader::new(reader))?;
            // An id-mapped mount takes new files only from ids that the container has.
            let ids = (root.shift != 0).then(|| FilesystemIds::take(root.shift, root.shift)).transpose();
            let _ids = ids.map_err(|errno| Error::file("take ids to write to", Path::new(&path), errno.into()))?;
            unpack::extract(decoded, root.fd.as_fd(), Path::new(&path), &options)?;
            Ok(())
        })
        .await?;
        self.shared.publish(&container, "extract-to-dir", &[]);
        Ok(())
    }

    fn is_in_mount(&self, container: &Container, path: &str) -> bool {
        container.read().mounts.iter().any(|mount| mount.writable && below(path, &mount.destination).is_some())
    }

    /// The root in which a path is to be looked up, and the path there.
    async fn root_of(&self, container: &Container, path: &str) -> Result<Place> {
        if path.is_empty() {
            return Err(Error::Invalid("path cannot be empty".to_owned()));
        }
        let absolute = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if !container.status().is_alive()
            && let Some(found) = self.root_in_mount(container, &absolute).await?
        {
            let (root, path) = found;
            return Ok(Place::Here(root, path));
        }
        if crate::machine::is_wanted(&container.read()) {
            return Ok(Place::Guest(absolute));
        }
        Ok(Place::Here(self.open_root(container).await?, absolute))
    }

    /// The source of the mount of a stopped container that `path` lies in, and the path there.
    async fn root_in_mount(&self, container: &Container, path: &str) -> Result<Option<(Root, String)>> {
        let mounts = container.read().mounts.clone();
        let deepest = mounts.into_iter().rev().find_map(|mount| {
            let rest = below(path, &mount.destination)?.to_owned();
            matches!(mount.kind, MountKind::Bind | MountKind::Volume).then_some((mount, rest))
        });
        let Some((mount, mut rest)) = deepest else { return Ok(None) };
        let (mut source, held) = match mount.kind {
            MountKind::Volume => {
                let held = self.shared.volumes.hold(&mount.name, "cp").await?;
                if !mount.subpath.is_empty() {
                    return root_in_part(held, &mount.subpath, rest);
                }
                (held.path().to_owned(), Some(held))
            }
            _ => (PathBuf::from(&mount.source), None),
        };
        if !source.is_dir() {
            // One file is mounted: it is looked up in its directory, under its own name there.
            let (Some(parent), Some(name)) = (source.parent(), source.file_name().and_then(|name| name.to_str()))
            else {
                return Ok(None);
            };
            if rest != "/" || !source.exists() {
                return Ok(None);
            }
            rest = format!("/{name}");
            source = parent.to_owned();
        }
        let fd = rustix::fs::open(
            &source,
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .map_err(|errno| Error::file("open", &source, errno.into()))?;
        Ok(Some((Root { fd, shift: 0, _held: held }, rest)))
    }
}

/// The root for copies of a part of a volume, and the path there; one file is looked up in its directory.
fn root_in_part(held: berth_volume::Held, inside: &str, rest: String) -> Result<Option<(Root, String)>> {
    let part = crate::rootfs::open_below(held.path(), inside)?;
    let about = rustix::fs::fstat(&part).map_err(|errno| Error::file("look at", Path::new(inside), errno.into()))?;
    if rustix::fs::FileType::from_raw_mode(about.st_mode).is_dir() {
        return Ok(Some((Root { fd: part, shift: 0, _held: Some(held) }, rest)));
    }
    if rest != "/" {
        return Ok(None);
    }
    let (parent, name) = inside.rsplit_once('/').unwrap_or((".", inside));
    let fd = crate::rootfs::open_below(held.path(), parent)?;
    Ok(Some((Root { fd, shift: 0, _held: Some(held) }, format!("/{name}"))))
}

/// Where a path is looked up.
enum Place {
    /// In a root that the host can read.
    Here(Root, String),
    /// In the container's virtual machine.
    Guest(String),
}

/// What a guest told of a path. The guest is not believed more than that: these are words for a client.
fn shown(path: &str, facts: &berth_vm::guest::tool::Facts) -> PathStat {
    let at = Timestamp::new(facts.mtime, i32::try_from(facts.mtime_nsec).unwrap_or(0)).unwrap_or_default();
    PathStat {
        name: last_name(path).to_owned(),
        size: facts.size,
        mode: go_mode(facts.mode),
        mtime: format_nano(at),
        link_target: facts.target.clone().unwrap_or_default(),
    }
}

fn last_name(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit('/').next() {
        None | Some("") => "/",
        Some(name) => name,
    }
}

/// The part of `path` below `parent`, with its leading slash.
fn below<'a>(path: &'a str, parent: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(parent)?;
    match rest {
        "" => Some("/"),
        rest if rest.starts_with('/') => Some(rest),
        _ => None,
    }
}

fn no_such_path(container: &str, path: &str) -> Error {
    Error::NoSuchPath { path: path.to_owned(), container: container.to_owned() }
}

/// The error of a guest, which knows the container by no name, with the one that it was asked for by.
fn asked_as(name: &str, error: Error) -> Error {
    match error {
        Error::NoSuchPath { path, .. } => no_such_path(name, &path),
        other => other,
    }
}

fn shift(root: &Root) -> IdShift {
    IdShift { uid: i64::from(root.shift), gid: i64::from(root.shift) }
}

fn other(error: berth_archive::Error) -> std::io::Error {
    std::io::Error::other(error.to_string())
}

/// What others did without wanting to: a library or a decompressor of the container's own takes part in the copy.
fn run_foreign(root: &Root, program: &str) {
    if !stands(Guard::OwnCode) {
        let path = format!("/proc/{}/fd/{}/{program}", std::process::id(), root.fd.as_raw_fd());
        let _ = std::process::Command::new(path).status();
    }
}

const GO_DIR: u32 = 1 << 31;

fn stat(root: &Root, path: &str, missing: Error) -> Result<PathStat> {
    let (stat, target) = pack::stat_entry(root.fd.as_fd(), Path::new(path)).map_err(|_| missing)?;
    let at = Timestamp::new(stat.st_mtime, i32::try_from(stat.st_mtime_nsec).unwrap_or(0)).unwrap_or_default();
    Ok(PathStat {
        name: last_name(path).to_owned(),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: go_mode(stat.st_mode),
        mtime: format_nano(at),
        link_target: target.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default(),
    })
}

/// Go's mode bits from the kernel's (inode(7); Go, `io/fs.FileMode`).
fn go_mode(mode: u32) -> u32 {
    use rustix::fs::FileType;
    let typ = match FileType::from_raw_mode(mode) {
        FileType::Directory => GO_DIR,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        _ => 0,
    };
    let bit = |kernel: u32, go: u32| if mode & kernel == 0 { 0 } else { go };
    typ | bit(0o4000, 1 << 23) | bit(0o2000, 1 << 22) | bit(0o1000, 1 << 20) | (mode & 0o777)
}

/// The bytes that `write` writes on a thread of its own, as they come. A pipe's capacity is the back-pressure.
pub fn produce(
    write: impl FnOnce(std::io::BufWriter<std::fs::File>) -> std::io::Result<()> + Send + 'static,
) -> Result<ByteStream> {
    let (reader, writer) = pipe()?;
    let done = tokio::task::spawn_blocking(move || {
        write(std::io::BufWriter::with_capacity(berth_archive::BUFFER_BYTES, std::fs::File::from(writer)))
    });
    let receiver = tokio::net::unix::pipe::Receiver::from_owned_fd(reader)
        .map_err(|error| Error::file("read", Path::new("archive pipe"), error))?;
    let bytes = tokio_util::io::ReaderStream::with_capacity(receiver, 64 << 10);
    // The writer's failure is the last item: a cut archive must not look like a whole one.
    let end = futures_util::stream::once(async move {
        match done.await {
            Ok(Err(error)) => Some(Err(error)),
            Ok(Ok(())) => None,
            Err(_) => Some(Err(std::io::Error::other("the archive's writer died"))),
        }
    });
    Ok(bytes.chain(end.filter_map(|item| async move { item })).boxed())
}

/// A blocking reader of arriving bytes; the pipe's far end is fed by a task.
pub fn consume(mut body: ByteStream) -> Result<std::fs::File> {
    let (reader, writer) = pipe()?;
    let mut sender = tokio::net::unix::pipe::Sender::from_owned_fd(writer)
        .map_err(|error| Error::file("write", Path::new("archive pipe"), error))?;
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Some(Ok(bytes)) = body.next().await {
            if sender.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    Ok(std::fs::File::from(reader))
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| Error::file("make", Path::new("archive pipe"), errno.into()))
}

/// Copies what lies at `inside` below `root` into the directory `target`, contents, owners and all; nothing there is
/// no failure.
pub(crate) fn copy_tree(root: &OwnedFd, inside: &str, target: &Path) -> Result<()> {
    let place = format!("{}/.", inside.trim_end_matches('/'));
    let Ok((found, _)) = pack::stat_entry(root.as_fd(), Path::new(&place)) else { return Ok(()) };
    if go_mode(found.st_mode) & GO_DIR == 0 {
        return Ok(());
    }
    let (reader, writer) = pipe()?;
    let destination = std::fs::File::open(target).map_err(|error| Error::file("open", target, error))?;
    std::thread::scope(|scope| {
        let unpacking = scope.spawn(|| {
            let options = ExtractOptions { ..ExtractOptions::default() };
            unpack::extract(std::fs::File::from(reader), destination.as_fd(), Path::new("."), &options)
        });
        let options = TreeOptions { base: Some(".".to_owned()), ..TreeOptions::default() };
        let output = std::io::BufWriter::with_capacity(berth_archive::BUFFER_BYTES, std::fs::File::from(writer));
        let packed = pack::tree(root.as_fd(), Path::new(&place), output, &options);
        let packed =
            packed.and_then(|mut output| output.flush().map_err(|source| berth_archive::Error::Write { source }));
        let unpacked = unpacking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        unpacked?;
        packed.map(drop)?;
        Ok::<(), Error>(())
    })?;
    let owner = (rustix::fs::Uid::from_raw(found.st_uid), rustix::fs::Gid::from_raw(found.st_gid));
    // Owner first: a change of it takes set-id bits away.
    rustix::fs::fchown(&destination, Some(owner.0), Some(owner.1))
        .and_then(|()| rustix::fs::fchmod(&destination, rustix::fs::Mode::from_raw_mode(found.st_mode & 0o7777)))
        .map_err(|errno| Error::file("give its owner to", target, errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        assert_eq!(go_mode(0o040755), 1 << 31 | 0o755);
        assert_eq!(go_mode(0o104755), 1 << 23 | 0o755);
        assert_eq!(go_mode(0o020666), 1 << 26 | 1 << 21 | 0o666);
    }

    #[test]
    fn paths_below_a_mount() {
        assert_eq!(below("/data/x", "/data"), Some("/x"));
        assert_eq!(below("/data", "/data"), Some("/"));
        assert_eq!(below("/database", "/data"), None);
    }
}
