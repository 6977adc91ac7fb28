//! Loop devices: a file as a block device (`loop(4)`).

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use crate::{Errno, Result, check};

/// `LOOP_CTL_GET_FREE`, `LOOP_CONFIGURE` and flags of `struct loop_info64` (`linux/loop.h`).
const GET_FREE: libc::c_ulong = 0x4c82;
const CONFIGURE: libc::c_ulong = 0x4c0a;
const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;
const DIRECT_IO: u32 = 16;
/// How often a device that somebody else took meanwhile is given up for another.
const RACE_RETRIES: u32 = 64;

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// `struct loop_info64`.
#[repr(C)]
struct Info {
    numbers: [u64; 5],
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// A device with a file behind it. It goes away when nobody has it open or mounted any more.
#[derive(Debug)]
pub struct Loop {
    /// `/dev/loopN`.
    pub path: PathBuf,
    _device: OwnedFd,
}

/// Puts `file` behind a free device. Allocates.
pub fn attach(file: BorrowedFd<'_>, read_only: bool) -> Result<Loop> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let control = rustix::fs::openat(CWD, "/dev/loop-control", flags, Mode::empty())?;
    for _ in 0..RACE_RETRIES {
        // SAFETY: LOOP_CTL_GET_FREE takes no argument.
        let number = check(unsafe { libc::ioctl(control.as_raw_fd(), GET_FREE) }.into())?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = rustix::fs::openat(CWD, &path, flags, Mode::empty())?;
        match configure(device.as_fd(), file, read_only) {
            Ok(()) => return Ok(Loop { path, _device: device }),
            Err(Errno::BUSY) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::BUSY)
}

fn configure(device: BorrowedFd<'_>, file: BorrowedFd<'_>, read_only: bool) -> Result<()> {
    let with = |flags: u32| {
        let info = Info {
            numbers: [0; 5],
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: flags | if read_only { READ_ONLY } else { 0 },
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        };
        let config = Config { fd: file.as_raw_fd() as u32, block_size: 4096, info, reserved: [0; 8] };
        // SAFETY: the struct has the kernel's layout and outlives the call.
        check(unsafe { libc::ioctl(device.as_raw_fd(), CONFIGURE, &raw const config) }.into()).map(drop)
    };
    // Without direct input and output each page is in memory twice; not every file system below allows it.
    match with(AUTOCLEAR | DIRECT_IO) {
        Err(Errno::INVAL) => with(AUTOCLEAR),
        other => other,
    }
}

/// The device that already has the file at `path` behind it: mounting that one again shows the same file system, where
/// a second device would spoil it. Allocates.
pub fn find(path: &Path) -> Option<Loop> {
    for entry in std::fs::read_dir("/sys/block").ok()?.flatten() {
        let name = entry.file_name();
        let behind = std::fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if Path::new(behind.trim_end_matches('\n')) == path {
            let path = Path::new("/dev").join(name);
            let device = File::open(&path).ok()?;
            return Some(Loop { path, _device: device.into() });
        }
    }
    None
}
