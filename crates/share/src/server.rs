//! One request, one answer.

use std::{collections::HashMap, os::fd::OwnedFd, path::Path};

use rustix::io::Errno;

use crate::{
    abi::{DATA_MAX, Head, Input, MAJOR, MINOR, Output, feature, opcode, refusal},
    op,
    tree::Tree,
};

/// Open files and directories of one guest at a time. Each is a descriptor; the limit of those is usually met first.
const HANDLES_MAX: usize = 1 << 20;

/// A file server; see the crate's documentation.
#[derive(Debug)]
pub struct Server {
    pub(crate) tree: Tree,
    handles: HashMap<u64, OwnedFd>,
    next_handle: u64,
}

/// What becomes of a request.
pub(crate) type Outcome = Result<Output, Errno>;

impl Server {
    /// Serves what is below `directory`.
    ///
    /// # Errors
    /// The kernel's refusal to open it.
    pub fn new(directory: &Path) -> std::io::Result<Self> {
        Ok(Self { tree: Tree::new(directory)?, handles: HashMap::new(), next_handle: 1 })
    }

    /// Answers a request, with at most `room` bytes; `None` for those that want no answer, and for what is no request.
    pub fn answer(&mut self, request: &[u8], room: usize) -> Option<Vec<u8>> {
        let mut input = Input(request);
        let head = input.head().ok()?;
        match head.opcode {
            opcode::FORGET => {
                let lookups = input.u64().ok()?;
                self.tree.forget(head.node, lookups);
                return None;
            }
            opcode::BATCH_FORGET => {
                self.forget_many(input);
                return None;
            }
            // What was asked has been answered already: there is nothing to interrupt.
            opcode::INTERRUPT => return None,
            _ => {}
        }
        let room = room.saturating_sub(crate::abi::OUT_HEADER);
        let outcome = self.act(&head, input, room);
        Some(match outcome {
            Ok(output) if output.0.len() > room => refusal(head.unique, Errno::IO),
            Ok(output) => output.finish(head.unique),
            Err(errno) => refusal(head.unique, errno),
        })
    }

    fn act(&mut self, head: &Head, input: Input<'_>, room: usize) -> Outcome {
        match head.opcode {
            opcode::INIT => self.init(input),
            opcode::DESTROY => {
                self.handles.clear();
                self.tree.clear();
                Ok(Output::default())
            }
            opcode::LOOKUP => op::attribute::look_up(self, head, input),
            opcode::GETATTR => op::attribute::get(self, head, input),
            opcode::SETATTR => op::attribute::set(self, head, input),
            opcode::STATFS => op::attribute::statfs(self, head),
            opcode::READLINK => op::entry::read_link(self, head),
            opcode::SYMLINK => op::entry::symlink(self, head, input),
            opcode::MKNOD => op::entry::make_node(self, head, input),
            opcode::MKDIR => op::entry::make_directory(self, head, input),
            opcode::UNLINK => op::entry::remove(self, head, input, false),
            opcode::RMDIR => op::entry::remove(self, head, input, true),
            opcode::RENAME => op::entry::rename(self, head, input, false),
            opcode::RENAME2 => op::entry::rename(self, head, input, true),
            opcode::LINK => op::entry::link(self, head, input),
            opcode::CREATE => op::file::create(self, head, input),
            opcode::OPEN => op::file::open(self, head, input),
            opcode::READ => op::file::read(self, input, room),
            opcode::WRITE => op::file::write(self, input),
            opcode::FALLOCATE => op::file::allocate(self, input),
            opcode::LSEEK => op::file::seek(self, input),
            opcode::COPY_FILE_RANGE => op::file::copy(self, input),
            opcode::FSYNC | opcode::FSYNCDIR => op::file::sync(self, input),
            // Nothing is kept back here that closing would have to write.
            opcode::FLUSH => Ok(Output::default()),
            opcode::SYNCFS => op::file::sync_all(self, head),
            opcode::RELEASE | opcode::RELEASEDIR => self.release(input),
            opcode::OPENDIR => op::directory::open(self, head),
            opcode::READDIR => op::directory::read(self, head, input, room, false),
            opcode::READDIRPLUS => op::directory::read(self, head, input, room, true),
            opcode::SETXATTR => op::xattr::set(self, head, input),
            opcode::GETXATTR => op::xattr::get(self, head, input),
            opcode::LISTXATTR => op::xattr::list(self, head, input),
            opcode::REMOVEXATTR => op::xattr::remove(self, head, input),
            _ => Err(Errno::NOSYS),
        }
    }

    fn init(&mut self, mut input: Input<'_>) -> Outcome {
        let (major, _minor) = (input.u32()?, input.u32()?);
        let (read_ahead, features) = (input.u32()?, input.u32()?);
        if major < MAJOR {
            return Err(Errno::PROTO);
        }
        // A guest's kernel that was started again knows nothing of what another looked up.
        self.handles.clear();
        self.tree.clear();
        let mut output = Output::default();
        output.u32(MAJOR).u32(MINOR).u32(read_ahead).u32(features & feature::WANTED);
        // Requests under way, and how many are many; the longest write; the grain of times; pages of a request.
        output.u32(64 | 48 << 16).u32(DATA_MAX as u32).u32(1).u32((DATA_MAX / 4096) as u32);
        output.0.extend_from_slice(&[0; 32]);
        Ok(output)
    }

    fn forget_many(&mut self, mut input: Input<'_>) {
        let Ok(count) = input.u32() else { return };
        if input.u32().is_err() {
            return;
        }
        for _ in 0..count {
            let (Ok(node), Ok(lookups)) = (input.u64(), input.u64()) else { return };
            self.tree.forget(node, lookups);
        }
    }

    /// Keeps an open file; its number.
    pub(crate) fn keep(&mut self, file: OwnedFd) -> Result<u64, Errno> {
        if self.handles.len() >= HANDLES_MAX {
            return Err(Errno::NFILE);
        }
        let number = self.next_handle;
        self.next_handle += 1;
        self.handles.insert(number, file);
        Ok(number)
    }

    /// An open file.
    pub(crate) fn handle(&self, number: u64) -> Result<&OwnedFd, Errno> {
        self.handles.get(&number).ok_or(Errno::BADF)
    }

    fn release(&mut self, mut input: Input<'_>) -> Outcome {
        let number = input.u64()?;
        self.handles.remove(&number).map(|_| Output::default()).ok_or(Errno::BADF)
    }
}
