//! Requests and answers as bytes (`linux/fuse.h`). Numbers are little-endian: the device is one of virtio 1.

use rustix::{fs::Statx, io::Errno};

/// Version that is spoken.
pub const MAJOR: u32 = 7;
/// See [`MAJOR`].
pub const MINOR: u32 = 31;
/// Bytes of `struct fuse_in_header`.
pub const IN_HEADER: usize = 40;
/// Bytes of `struct fuse_out_header`.
pub const OUT_HEADER: usize = 16;
/// The most that one request carries, in bytes.
pub const DATA_MAX: usize = 1 << 20;
/// The longest request: its heads, names and data.
pub const REQUEST_MAX: usize = DATA_MAX + 16 * 1024;
/// The number of the root.
pub const ROOT: u64 = 1;

/// Operations (`enum fuse_opcode`).
pub mod opcode {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const READLINK: u32 = 5;
    pub const SYMLINK: u32 = 6;
    pub const MKNOD: u32 = 8;
    pub const MKDIR: u32 = 9;
    pub const UNLINK: u32 = 10;
    pub const RMDIR: u32 = 11;
    pub const RENAME: u32 = 12;
    pub const LINK: u32 = 13;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const SETXATTR: u32 = 21;
    pub const GETXATTR: u32 = 22;
    pub const LISTXATTR: u32 = 23;
    pub const REMOVEXATTR: u32 = 24;
    pub const FLUSH: u32 = 25;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const FSYNCDIR: u32 = 30;
    pub const CREATE: u32 = 35;
    pub const INTERRUPT: u32 = 36;
    pub const DESTROY: u32 = 38;
    pub const BATCH_FORGET: u32 = 42;
    pub const FALLOCATE: u32 = 43;
    pub const READDIRPLUS: u32 = 44;
    pub const RENAME2: u32 = 45;
    pub const LSEEK: u32 = 46;
    pub const COPY_FILE_RANGE: u32 = 47;
    pub const SYNCFS: u32 = 50;
}

/// Of `struct fuse_init_in` and `fuse_init_out`.
pub mod feature {
    pub const ASYNC_READ: u32 = 1;
    pub const ATOMIC_O_TRUNC: u32 = 1 << 3;
    pub const BIG_WRITES: u32 = 1 << 5;
    pub const AUTO_INVAL_DATA: u32 = 1 << 12;
    pub const DO_READDIRPLUS: u32 = 1 << 13;
    pub const READDIRPLUS_AUTO: u32 = 1 << 14;
    pub const ASYNC_DIO: u32 = 1 << 15;
    pub const PARALLEL_DIROPS: u32 = 1 << 18;
    pub const MAX_PAGES: u32 = 1 << 22;
    /// What is wanted where the guest has it.
    pub const WANTED: u32 = ASYNC_READ
        | ATOMIC_O_TRUNC
        | BIG_WRITES
        | AUTO_INVAL_DATA
        | DO_READDIRPLUS
        | READDIRPLUS_AUTO
        | ASYNC_DIO
        | PARALLEL_DIROPS
        | MAX_PAGES;
}

/// Which attributes are set (`FATTR_*`).
pub mod set {
    pub const MODE: u32 = 1;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    pub const FH: u32 = 1 << 6;
    pub const ATIME_NOW: u32 = 1 << 7;
    pub const MTIME_NOW: u32 = 1 << 8;
}

/// A request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// See [`opcode`].
    pub opcode: u32,
    /// The answer carries it.
    pub unique: u64,
    /// Which file.
    pub node: u64,
    /// Who asks.
    pub uid: u32,
    /// Who asks.
    pub gid: u32,
}

/// What is left of a request's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next four bytes.
    pub fn u32(&mut self) -> Result<u32, Errno> {
        let (head, rest) = self.0.split_first_chunk::<4>().ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*head))
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Result<u64, Errno> {
        let (head, rest) = self.0.split_first_chunk::<8>().ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*head))
    }

    /// So many bytes that mean nothing here.
    pub fn skip(&mut self, bytes: usize) -> Result<(), Errno> {
        self.0 = self.0.get(bytes..).ok_or(Errno::INVAL)?;
        Ok(())
    }

    /// Bytes up to the next NUL, which is passed over.
    pub fn text(&mut self) -> Result<&'a [u8], Errno> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Errno::INVAL)?;
        let (text, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Ok(text)
    }

    /// The name of an entry of a directory: one component, which leads downwards.
    pub fn name(&mut self) -> Result<&'a [u8], Errno> {
        match self.text()? {
            b"" | b"." | b".." => Err(Errno::INVAL),
            name if name.contains(&b'/') => Err(Errno::INVAL),
            name if name.len() > 255 => Err(Errno::NAMETOOLONG),
            name => Ok(name),
        }
    }

    /// The request's head.
    pub fn head(&mut self) -> Result<Head, Errno> {
        self.skip(4)?;
        let (opcode, unique, node) = (self.u32()?, self.u64()?, self.u64()?);
        let (uid, gid) = (self.u32()?, self.u32()?);
        self.skip(8)?;
        Ok(Head { opcode, unique, node, uid, gid })
    }
}

/// An answer's bytes behind its head.
#[derive(Debug, Default)]
pub struct Output(pub Vec<u8>);

impl Output {
    /// Appends a number.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends a number.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// `struct fuse_attr`.
    pub fn attributes(&mut self, facts: &Statx, ino: u64) -> &mut Self {
        let time = |seconds: i64| seconds as u64;
        self.u64(ino).u64(facts.stx_size).u64(facts.stx_blocks);
        self.u64(time(facts.stx_atime.tv_sec)).u64(time(facts.stx_mtime.tv_sec)).u64(time(facts.stx_ctime.tv_sec));
        self.u32(facts.stx_atime.tv_nsec).u32(facts.stx_mtime.tv_nsec).u32(facts.stx_ctime.tv_nsec);
        self.u32(facts.stx_mode.into()).u32(facts.stx_nlink).u32(facts.stx_uid).u32(facts.stx_gid);
        // huge_encode_dev of linux/kdev_t.h.
        let (major, minor) = (facts.stx_rdev_major, facts.stx_rdev_minor);
        self.u32(minor & 0xff | (major & 0xfff) << 8 | (minor & !0xff) << 12).u32(facts.stx_blksize).u32(0)
    }

    /// The whole answer: a head, and these bytes.
    #[must_use]
    pub fn finish(self, unique: u64) -> Vec<u8> {
        head(unique, 0, &self.0)
    }
}

/// The answer to a request that failed.
#[must_use]
pub fn refusal(unique: u64, errno: Errno) -> Vec<u8> {
    head(unique, -errno.raw_os_error(), &[])
}

fn head(unique: u64, error: i32, body: &[u8]) -> Vec<u8> {
    let mut answer = Vec::with_capacity(OUT_HEADER + body.len());
    answer.extend_from_slice(&((OUT_HEADER + body.len()) as u32).to_le_bytes());
    answer.extend_from_slice(&error.to_le_bytes());
    answer.extend_from_slice(&unique.to_le_bytes());
    answer.extend_from_slice(body);
    answer
}
