//! Mounts as descriptors: `mount_setattr(2)`, and the new mount API in the shapes the engine uses.
//!
//! A mount is made detached, given its attributes and its id-mapping, and attached last; nothing half-made is ever
//! visible at a path.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use crate::{Result, check};

/// Attribute bits of a mount (`MOUNT_ATTR_*` in `mount_setattr(2)`).
pub mod attr {
    /// No writes through this mount.
    pub const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
    /// Set-id bits and file capabilities count for nothing.
    pub const NO_SUID: u64 = libc::MOUNT_ATTR_NOSUID;
    /// Device nodes cannot be opened.
    pub const NO_DEV: u64 = libc::MOUNT_ATTR_NODEV;
    /// Nothing can be executed.
    pub const NO_EXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
    /// All access-time settings; must be cleared when one is set.
    pub const ACCESS_TIME: u64 = libc::MOUNT_ATTR__ATIME;
    /// Access times are never written.
    pub const NO_ACCESS_TIME: u64 = libc::MOUNT_ATTR_NOATIME;
    /// Access times are always written.
    pub const STRICT_ACCESS_TIME: u64 = libc::MOUNT_ATTR_STRICTATIME;
    /// Access times of directories are never written.
    pub const NO_DIRECTORY_ACCESS_TIME: u64 = libc::MOUNT_ATTR_NODIRATIME;
    /// Symbolic links are not followed.
    pub const NO_SYMLINK_FOLLOW: u64 = libc::MOUNT_ATTR_NOSYMFOLLOW;
}

/// How mount events travel between peers (`mount_namespaces(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Both ways.
    Shared,
    /// Inwards only.
    Slave,
    /// Not at all.
    Private,
    /// Not at all, and cannot be bound.
    Unbindable,
}

impl Propagation {
    fn bits(self) -> u64 {
        match self {
            Propagation::Shared => libc::MS_SHARED,
            Propagation::Slave => libc::MS_SLAVE,
            Propagation::Private => libc::MS_PRIVATE,
            Propagation::Unbindable => libc::MS_UNBINDABLE,
        }
    }
}

/// A change of a mount's attributes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// Bits of [`attr`] to set.
    pub set: u64,
    /// Bits of [`attr`] to clear.
    pub clear: u64,
    /// A new propagation type.
    pub propagation: Option<Propagation>,
    /// A user namespace whose id maps the mount shall use. Only on a detached mount, and only once.
    pub id_map: Option<BorrowedFd<'a>>,
    /// Also every mount below.
    pub recursive: bool,
}

/// Changes a mount given as a descriptor of its root. `EINVAL` when the file system does not allow id-mapping.
pub fn set_attributes(mount: BorrowedFd<'_>, change: &Change<'_>) -> Result<()> {
    let mut attributes = libc::mount_attr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation.map_or(0, Propagation::bits),
        userns_fd: 0,
    };
    if let Some(namespace) = change.id_map {
        attributes.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attributes.userns_fd = namespace.as_raw_fd() as u64;
    }
    let recursive = if change.recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, the struct is alive and its size is stated.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw mut attributes,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

/// A detached copy of the mount tree at `path` (below `directory`); without `recursive` only its top mount.
pub fn clone_tree<P: rustix::path::Arg>(directory: BorrowedFd<'_>, path: P, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    rustix::mount::open_tree(directory, path, flags)
}

/// A detached copy of what lies at the relative path `inside` in the detached mount `whole`. The kernel copies only what is
/// attached (before 6.15), so `whole` is attached to the directory `place` for that moment. Links in `inside` are
/// followed with the mount's root as `/`.
pub fn clone_inside(whole: BorrowedFd<'_>, place: &Path, inside: &str) -> Result<OwnedFd> {
    attach_at(whole, place)?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = rustix::fs::ResolveFlags::IN_ROOT | rustix::fs::ResolveFlags::NO_MAGICLINKS;
    let part = rustix::fs::openat2(whole, inside, flags, Mode::empty(), resolve)
        .and_then(|opened| clone_tree(opened.as_fd(), c"", false));
    detach(place)?;
    part
}

/// Attaches a detached mount on top of what `target` (a descriptor of a directory or file) stands for.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", target, c"", flags)
}

/// Attaches a detached mount at a path that the caller trusts.
pub fn attach_at(mount: BorrowedFd<'_>, target: &Path) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", rustix::fs::CWD, target, flags)
}

/// A new file system under construction (`fsopen(2)`, `fsconfig(2)`, `fsmount(2)`).
#[derive(Debug)]
pub struct NewFilesystem(OwnedFd);

impl NewFilesystem {
    /// Begins one of this type; `ENODEV` when the kernel does not know it.
    pub fn open(kind: &str) -> Result<Self> {
        rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map(Self)
    }

    /// Sets an option that has no value.
    pub fn flag(&self, key: &str) -> Result<()> {
        rustix::mount::fsconfig_set_flag(self.0.as_fd(), key)
    }

    /// Sets an option to a text.
    pub fn text<V: rustix::path::Arg>(&self, key: &str, value: V) -> Result<()> {
        rustix::mount::fsconfig_set_string(self.0.as_fd(), key, value)
    }

    /// Sets an option to an open file.
    pub fn descriptor(&self, key: &str, value: BorrowedFd<'_>) -> Result<()> {
        rustix::mount::fsconfig_set_fd(self.0.as_fd(), key, value)
    }

    /// Makes the superblock and a detached mount of it with the given [`attr`] bits.
    pub fn mount(&self, attributes: u64) -> Result<OwnedFd> {
        rustix::mount::fsconfig_create(self.0.as_fd())?;
        let bits = MountAttrFlags::from_bits_retain(attributes as u32);
        rustix::mount::fsmount(self.0.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, bits)
    }

    /// What the kernel has to say about the last failure, one message a line. Allocates.
    pub fn messages(&self) -> String {
        let mut text = String::new();
        let mut buffer = [0u8; 512];
        while let Ok(read @ 1..) = rustix::io::read(&self.0, &mut buffer) {
            if !text.is_empty() {
                text.push('\n');
            }
            let line = String::from_utf8_lossy(&buffer[..read]);
            // The kernel puts the level before it: `e ` error, `w ` warning, `i ` information.
            let line = ["e ", "w ", "i "].iter().find_map(|level| line.strip_prefix(level)).unwrap_or(&line);
            text.push_str(line.trim_end());
        }
        text
    }
}

/// Detaches the mount on top of `path`, at once for new lookups, later for those who still use it.
pub fn detach<P: rustix::path::Arg>(path: P) -> Result<()> {
    rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH)
}

/// Makes `new_root` the root of the mount namespace and throws the old one away. The caller's directory becomes `/`.
/// The idiom `pivot_root(".", ".")` of `pivot_root(2)`: no directory for the old root is needed.
pub fn pivot_into(new_root: BorrowedFd<'_>) -> Result<()> {
    const HERE: &CStr = c".";
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old_root = rustix::fs::openat(CWD, c"/", flags, Mode::empty())?;
    rustix::process::fchdir(new_root)?;
    rustix::process::pivot_root(HERE, HERE)?;
    // The old root now lies on top of the new one; its events must not travel to the host. Said of the directory that
    // was opened before: "." is still the new root, whose own mounts may well be meant to be shared.
    rustix::process::fchdir(&old_root)?;
    let old = rustix::mount::MountPropagationFlags::DOWNSTREAM | rustix::mount::MountPropagationFlags::REC;
    rustix::mount::mount_change(HERE, old)?;
    detach(HERE)?;
    rustix::process::chdir(c"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_filesystem_is_refused() {
        assert_eq!(NewFilesystem::open("no-such-fs").err(), Some(crate::Errno::NODEV));
    }

    #[test]
    fn detached_tmpfs_is_usable_and_can_be_made_read_only() {
        let Ok(new) = NewFilesystem::open("tmpfs") else {
            eprintln!("skipped: no right to make mounts");
            return;
        };
        new.text("size", "64k").expect("size");
        let mount = new.mount(attr::NO_SUID).expect("mount");
        let make = |name: &str| rustix::fs::mkdirat(&mount, name, rustix::fs::Mode::from_raw_mode(0o700));
        make("before").expect("writable");
        let change = Change { set: attr::READ_ONLY, ..Change::default() };
        set_attributes(mount.as_fd(), &change).expect("read-only");
        assert_eq!(make("after"), Err(crate::Errno::ROFS));
    }
}
