//! A folder of the client made equal on disk: only what differs is asked for.
//!
//! ```text
//! client                     task (async)                        worker (thread, owns the folder)
//!   ── STAT, STAT, … ──►   packets ──────────── events ──►   compare with what is there, make folders and links
//!   ◄── REQ id ─────────   ◄───────────────── commands ──   a file differs
//!   ── DATA id, … ──────►   ──────────────────────────►     write it; at its end mode, owner, time
//!   ◄── FIN ─────────────                                    all asked for is here; remove what the client has not
//! ```
//!
//! The client is not trusted: paths must be clean and in order, each parent a folder it sent before, and everything is
//! opened below the folder's descriptor without following links.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use tokio::sync::mpsc;

use super::tree::{self, go};
use crate::grpc::{Duplex, Status};
use crate::proto::session::{Packet, PacketKind, Stat};

/// Packets between the task and the worker.
const QUEUE: usize = 64;
/// Files being written at the same time. Clients send four.
const WRITING: usize = 256;

/// What a transfer brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// Files, folders and links that the client has.
    pub entries: u64,
    /// Files whose content was sent.
    pub files: u64,
    /// Bytes of content that were sent.
    pub bytes: u64,
}

enum Event {
    Stat(Box<Stat>),
    StatsEnd,
    Data(u32, Vec<u8>),
}

enum Command {
    Request(u32),
    Finish,
}

/// Makes the folder `root` equal to what the other side of `call` sends.
pub(super) async fn receive(call: Duplex, root: OwnedFd) -> Result<Received, Status> {
    let Duplex { mut sender, mut receiver } = call;
    let (events, incoming) = mpsc::channel(QUEUE);
    // Never more than one command for each entry, whose number is limited.
    let (outgoing, mut commands) = mpsc::unbounded_channel();
    let worker = tokio::task::spawn_blocking(move || Worker::new(root, outgoing)?.run(incoming));
    let inward = async {
        while let Some(packet) = receiver.next::<Packet>().await? {
            let event = match PacketKind::try_from(packet.kind) {
                Ok(PacketKind::Stat) => packet.stat.map_or(Event::StatsEnd, |stat| Event::Stat(Box::new(stat))),
                Ok(PacketKind::Data) => Event::Data(packet.id, packet.data),
                Ok(PacketKind::Finish) => continue,
                Ok(PacketKind::Error) => return Err(Status::gone(String::from_utf8_lossy(&packet.data))),
                _ => return Err(Status::invalid("the client sent a packet that has no place here")),
            };
            if events.send(event).await.is_err() {
                // The worker has failed and says why.
                break;
            }
        }
        drop(events);
        Ok(())
    };
    let outward = async {
        while let Some(command) = commands.recv().await {
            let (kind, id) = match command {
                Command::Request(id) => (PacketKind::Request, id),
                Command::Finish => (PacketKind::Finish, 0),
            };
            sender.send(&Packet { kind: kind as i32, id, ..Packet::default() }).await?;
        }
        sender.finish();
        Ok(())
    };
    // Both end: what the client failed with arrives on the way in, when the way out is closed already.
    let (inward, outward): (Result<(), Status>, Result<(), Status>) = tokio::join!(inward, outward);
    let done = worker.await.map_err(Status::gone)?;
    match (done, inward) {
        (Ok(received), Ok(())) => Ok(received),
        // What the client says matters more than that the worker waited in vain.
        (_, Err(status)) => Err(status),
        (Err(error), Ok(())) => Err(outward.err().unwrap_or_else(|| Status::gone(error))),
    }
}

struct Worker {
    root: OwnedFd,
    commands: mpsc::UnboundedSender<Command>,
    /// What the folder held before and the client was not seen to have.
    before: BTreeMap<String, Stat>,
    /// The folders sent, with what they shall be once filled.
    folders: BTreeMap<String, Stat>,
    /// Files made anew: links to them are made anew too.
    anew: BTreeSet<String>,
    /// Files asked for.
    awaited: HashMap<u32, Box<Stat>>,
    writing: HashMap<u32, File>,
    last: String,
    next_id: u32,
    ended: bool,
    received: Received,
}

impl Worker {
    fn new(root: OwnedFd, commands: mpsc::UnboundedSender<Command>) -> io::Result<Self> {
        let before = tree::walk(&root)?.into_iter().map(|stat| (stat.path.clone(), stat)).collect();
        Ok(Self {
            root,
            commands,
            before,
            folders: BTreeMap::new(),
            anew: BTreeSet::new(),
            awaited: HashMap::new(),
            writing: HashMap::new(),
            last: String::new(),
            next_id: 0,
            ended: false,
            received: Received::default(),
        })
    }

    fn run(mut self, mut events: mpsc::Receiver<Event>) -> io::Result<Received> {
        let mut finished = false;
        while let Some(event) = events.blocking_recv() {
            match event {
                Event::Stat(_) | Event::StatsEnd if self.ended => return Err(refuse("stats after their end")),
                Event::Stat(stat) => self.stat(stat)?,
                Event::StatsEnd => self.end_of_stats()?,
                Event::Data(id, bytes) => self.data(id, &bytes)?,
            }
            if self.ended && self.awaited.is_empty() && !finished {
                finished = true;
                self.settle_folders()?;
                let _ = self.commands.send(Command::Finish);
                // Ends the way out: nothing is asked for any more.
                self.commands = mpsc::unbounded_channel().0;
            }
        }
        match finished {
            true => Ok(self.received),
            false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client stopped before all files were sent")),
        }
    }

    fn stat(&mut self, stat: Box<Stat>) -> io::Result<()> {
        let id = self.next_id;
        self.next_id += 1;
        self.check(&stat)?;
        self.received.entries += 1;
        let before = self.before.remove(&stat.path);
        let kind = stat.mode & go::KIND;
        if kind == go::DIR {
            if before.is_none_or(|before| before.mode & go::KIND != go::DIR || self.clear(&before, true).is_err()) {
                self.remove_file(&stat.path)?;
                rustix::fs::mkdirat(self.parent(&stat.path)?, name(&stat.path), Mode::RWXU)?;
            }
            self.folders.insert(stat.path.clone(), *stat);
            return Ok(());
        }
        let linked_anew = !stat.linkname.is_empty() && kind == 0 && self.anew.contains(&stat.linkname);
        if before.as_ref().is_some_and(|before| same(before, &stat)) && !linked_anew {
            return Ok(());
        }
        if let Some(before) = before {
            self.clear(&before, false)?;
        }
        match kind {
            0 if !stat.linkname.is_empty() => self.link(&stat),
            0 => self.file(id, stat),
            go::SYMLINK => self.symlink(&stat),
            go::FIFO => {
                let parent = self.parent(&stat.path)?;
                let mode = Mode::from_raw_mode(tree::permissions(stat.mode));
                rustix::fs::mknodat(&parent, name(&stat.path), rustix::fs::FileType::Fifo, mode, 0)?;
                self.own(&stat)
            }
            _ => Err(refuse(format!("{:?} is a device: a build's files are files, folders and links", stat.path))),
        }
    }

    /// A path must be clean, come after the one before, and stand in a folder that was sent.
    fn check(&mut self, stat: &Stat) -> io::Result<()> {
        let path = &stat.path;
        let clean = !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !clean || path.len() > 4096 || path.split('/').count() > tree::DEPTH {
            return Err(refuse(format!("the path {path:?} is not a clean relative path")));
        }
        let order = self.last.split('/').cmp(path.split('/'));
        if !self.last.is_empty() && order != std::cmp::Ordering::Less {
            return Err(refuse(format!("the path {path:?} comes after {:?}", self.last)));
        }
        let parent = path.rsplit_once('/').map(|(parent, _)| parent);
        if parent.is_some_and(|parent| !self.folders.contains_key(parent)) {
            return Err(refuse(format!("the path {path:?} stands in no folder that was sent")));
        }
        if self.received.entries as usize >= tree::ENTRIES {
            return Err(refuse(format!("more than {} files", tree::ENTRIES)));
        }
        self.last.clone_from(path);
        Ok(())
    }

    /// Removes what stood at a path; of a folder that stays, nothing.
    fn clear(&mut self, before: &Stat, stays: bool) -> io::Result<()> {
        if before.mode & go::KIND != go::DIR {
            return self.remove_file(&before.path);
        }
        if stays {
            return Ok(());
        }
        let prefix = format!("{}/", before.path);
        let inside: Vec<String> = self.before.keys().filter(|path| path.starts_with(&prefix)).cloned().collect();
        for path in inside.iter().rev() {
            if let Some(stat) = self.before.remove(path) {
                self.remove(&stat)?;
            }
        }
        self.remove(before)
    }

    fn remove(&self, stat: &Stat) -> io::Result<()> {
        match stat.mode & go::KIND {
            go::DIR => {
                let parent = self.parent(&stat.path)?;
                Ok(rustix::fs::unlinkat(parent, name(&stat.path), AtFlags::REMOVEDIR)?)
            }
            _ => self.remove_file(&stat.path),
        }
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(self.parent(path)?, name(path), AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The folder that holds `path`.
    fn parent(&self, path: &str) -> io::Result<OwnedFd> {
        let parent = path.rsplit_once('/').map_or(".", |(parent, _)| parent);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat2(&self.root, parent, flags, Mode::empty(), tree::below())?)
    }

    fn file(&mut self, id: u32, stat: Box<Stat>) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.parent(&stat.path)?, name(&stat.path), flags, Mode::RUSR | Mode::WUSR)?;
        self.anew.insert(stat.path.clone());
        if stat.size == 0 {
            return settle(file, &stat);
        }
        self.awaited.insert(id, stat);
        let _ = self.commands.send(Command::Request(id));
        Ok(())
    }

    fn link(&mut self, stat: &Stat) -> io::Result<()> {
        let earlier = stat.linkname.trim_start_matches('/');
        // Only a file that came before may be linked to; it was opened by a checked path then.
        let clean = earlier.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !clean || self.before.contains_key(earlier) || self.folders.contains_key(earlier) {
            return Err(refuse(format!("{:?} links to {earlier:?}, which is no file that was sent", stat.path)));
        }
        let from = self.parent(earlier)?;
        let to = self.parent(&stat.path)?;
        rustix::fs::linkat(from, name(earlier), to, name(&stat.path), AtFlags::empty())?;
        self.anew.insert(stat.path.clone());
        Ok(())
    }

    fn symlink(&mut self, stat: &Stat) -> io::Result<()> {
        rustix::fs::symlinkat(&stat.linkname, self.parent(&stat.path)?, name(&stat.path))?;
        self.own(stat)
    }

    /// Owner and time of what is no file and no folder.
    fn own(&self, stat: &Stat) -> io::Result<()> {
        let parent = self.parent(&stat.path)?;
        let (uid, gid) = (Uid::from_raw(stat.uid), Gid::from_raw(stat.gid));
        rustix::fs::chownat(&parent, name(&stat.path), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(rustix::fs::utimensat(parent, name(&stat.path), &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn data(&mut self, id: u32, bytes: &[u8]) -> io::Result<()> {
        let Some(stat) = self.awaited.get(&id) else { return Err(refuse(format!("data of file {id}, not asked for"))) };
        if !self.writing.contains_key(&id) {
            if self.writing.len() >= WRITING {
                return Err(refuse("too many files at the same time"));
            }
            let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(self.parent(&stat.path)?, name(&stat.path), flags, Mode::empty())?;
            self.writing.insert(id, File::from(file));
            self.received.files += 1;
        }
        let Some(file) = self.writing.get_mut(&id) else { return Ok(()) };
        if !bytes.is_empty() {
            self.received.bytes += bytes.len() as u64;
            return file.write_all(bytes);
        }
        settle(file, stat)?;
        self.writing.remove(&id);
        self.awaited.remove(&id);
        Ok(())
    }

    fn end_of_stats(&mut self) -> io::Result<()> {
        self.ended = true;
        // What is inside of a folder comes after it, so backwards it goes first.
        while let Some((_, stat)) = self.before.pop_last() {
            self.remove(&stat)?;
        }
        Ok(())
    }

    /// Folders get their time last: what was made in them changed it.
    fn settle_folders(&mut self) -> io::Result<()> {
        while let Some((path, stat)) = self.folders.pop_last() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = rustix::fs::openat(self.parent(&path)?, name(&path), flags, Mode::empty())?;
            settle(folder, &stat)?;
        }
        Ok(())
    }
}

/// Owner, mode, attributes and at last the time, which says that the file is whole.
fn settle(file: impl AsFd, stat: &Stat) -> io::Result<()> {
    rustix::fs::fchown(&file, Some(Uid::from_raw(stat.uid)), Some(Gid::from_raw(stat.gid)))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(tree::permissions(stat.mode)))?;
    for (key, value) in &stat.xattrs {
        if key.starts_with("user.") || key == "security.capability" {
            rustix::fs::fsetxattr(&file, key.as_str(), value, rustix::fs::XattrFlags::empty())?;
        }
    }
    Ok(rustix::fs::futimens(&file, &times(stat))?)
}

fn times(stat: &Stat) -> Timestamps {
    let time =
        Timespec { tv_sec: stat.mod_time.div_euclid(1_000_000_000), tv_nsec: stat.mod_time.rem_euclid(1_000_000_000) };
    Timestamps { last_access: time, last_modification: time }
}

/// Whether what is on disk is what the client has, as far as its stat tells.
fn same(before: &Stat, now: &Stat) -> bool {
    let link = |stat: &Stat| stat.linkname.trim_start_matches('/').to_owned();
    let whole = (before.mode, before.uid, before.gid, before.mod_time) == (now.mode, now.uid, now.gid, now.mod_time);
    let is_file = now.mode & go::KIND == 0;
    let linked = match is_file {
        true => link(before) == link(now),
        false => before.linkname == now.linkname,
    };
    whole && linked && (!is_file || before.size == now.size)
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn refuse(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}
