//! `/dev`: one small tmpfs with the nodes and links that every Linux program expects.
//!
//! The maker fills it before it is attached: in a user namespace nobody can make device nodes, and one mount that
//! holds them all is cheaper than a bind mount for each. The superblock belongs to the host, so its nodes work.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_sys::mount::NewFilesystem;
use berth_sys::process::FilesystemIds;
use berth_sys::{Errno, process, user_namespace};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, makedev};

use crate::error::{Error, Result};
use crate::id_map::IdMaps;
use crate::mount::option::Options;

/// Nodes of every container: name, major, minor (OCI runtime specification, "Default Devices"). All are 0666.
pub(crate) const DEFAULT: &[(&str, u32, u32)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Links of every container (OCI runtime specification, "Dev symbolic links").
const LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
    ("/proc/kcore", "core"),
];

/// Mount points that most containers use.
const POINTS: &[&str] = &["pts", "shm", "mqueue"];

/// A detached tmpfs for `/dev`. `owner` is the container's root as the host knows it.
pub(crate) fn directory(
    options: &Options,
    devices: &[LinuxDevice],
    owner: (u32, u32),
    id_maps: &IdMaps,
) -> Result<OwnedFd> {
    let path = Path::new("/dev");
    let mount = filesystem(options, owner).map_err(Error::prepare("mount a tmpfs for", path))?;
    let ids = FilesystemIds::take(owner.0, owner.1).map_err(Error::process("act as the container's root"))?;
    let _mask = Unmasked::new();
    let made = !user_namespace::is_nested();
    fill(mount.as_fd(), made).map_err(Error::prepare("fill", path))?;
    drop(ids);
    for device in devices.iter().filter(|_| made) {
        node(mount.as_fd(), device, id_maps).map_err(Error::prepare("make the device", device.path()))?;
    }
    Ok(mount)
}

fn filesystem(options: &Options, owner: (u32, u32)) -> berth_sys::Result<OwnedFd> {
    let new = NewFilesystem::open("tmpfs")?;
    new.text("source", "tmpfs")?;
    for (key, value) in &options.data {
        match value {
            Some(value) => new.text(key, value.as_str())?,
            None => new.flag(key)?,
        }
    }
    if owner != (0, 0) {
        new.text("uid", owner.0.to_string())?;
        new.text("gid", owner.1.to_string())?;
    }
    new.mount(options.set)
}

/// Without the right to make nodes those of the host come in their places (`mount::device_binds`).
fn fill(directory: BorrowedFd<'_>, with_nodes: bool) -> berth_sys::Result<()> {
    let mode = Mode::from_raw_mode(0o666);
    for (name, major, minor) in DEFAULT.iter().filter(|_| with_nodes) {
        rustix::fs::mknodat(directory, *name, FileType::CharacterDevice, mode, makedev(*major, *minor))?;
    }
    for (target, name) in LINKS {
        rustix::fs::symlinkat(*target, directory, *name)?;
    }
    for name in POINTS {
        rustix::fs::mkdirat(directory, *name, Mode::from_raw_mode(0o755))?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::openat(directory, "console", flags, Mode::from_raw_mode(0o600)).map(drop)
}

/// One device of the specification. Those that every container has are only given their mode and owner.
fn node(directory: BorrowedFd<'_>, device: &LinuxDevice, id_maps: &IdMaps) -> berth_sys::Result<()> {
    let name = device.path().strip_prefix("/dev").map_err(|_| Errno::INVAL)?;
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::A => return Err(Errno::INVAL),
    };
    let parent = name.parent().filter(|parent| !parent.as_os_str().is_empty());
    let opened = parent.map(|parent| crate::path::open_or_make(directory, parent, crate::path::Make::Directory));
    let opened = opened.transpose()?;
    let directory = opened.as_ref().map_or(directory, AsFd::as_fd);
    let name = name.file_name().ok_or(Errno::INVAL)?;
    let mode = Mode::from_raw_mode(device.file_mode().unwrap_or(0o666) & 0o7777);
    let number = makedev(device.major() as u32, device.minor() as u32);
    match rustix::fs::mknodat(directory, name, kind, mode, number) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
            rustix::fs::mknodat(directory, name, kind, mode, number)?;
        }
        Err(errno) => return Err(errno),
    }
    let (uid, gid) = id_maps.to_host(device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

/// While it lives, modes are taken as they are given.
struct Unmasked(u32);

impl Unmasked {
    fn new() -> Self {
        Self(process::set_umask(0))
    }
}

impl Drop for Unmasked {
    fn drop(&mut self) {
        process::set_umask(self.0);
    }
}
