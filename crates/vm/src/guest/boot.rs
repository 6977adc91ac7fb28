//! The first moments: kernel file systems, modules, and the port to the host.

use std::{
    fs,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use berth_sys::mount::{NewFilesystem, attach_at, attr};
use rustix::fs::{CWD, Mode, OFlags};

use super::PORT;
use crate::{
    Error, Result,
    kernel::module::{self, Need},
};

/// Devices are announced a moment after their driver is loaded.
const DEVICE_LIMIT: Duration = Duration::from_secs(20);
/// `ENOEXEC` of a module means that it is another kernel's; these only that the module is not needed.
const HARMLESS: &[rustix::io::Errno] = &[rustix::io::Errno::EXIST, rustix::io::Errno::NODEV];

/// Makes the guest ready, and opens the port to the host.
pub(super) fn prepare() -> Result<OwnedFd> {
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        mount(kind, Path::new(target), &[], attr::NO_SUID | attr::NO_EXEC)?;
    }
    load_modules()?;
    leave_first_root()?;
    mount("cgroup2", Path::new("/sys/fs/cgroup"), &[], attr::NO_SUID | attr::NO_EXEC | attr::NO_DEV)?;
    for (kind, target) in [("devpts", "/dev/pts"), ("mqueue", "/dev/mqueue")] {
        make_directory(Path::new(target))?;
        mount(kind, Path::new(target), &[], attr::NO_SUID | attr::NO_EXEC)?;
    }
    berth_sys::network::loopback_up().map_err(Error::system("bring the loopback device up"))?;
    open_port()
}

/// Mounts a new file system of type `kind`.
pub(super) fn mount(kind: &str, target: &Path, options: &[(&str, &str)], attributes: u64) -> Result<()> {
    let failed = |new: Option<&NewFilesystem>, errno: rustix::io::Errno| {
        let said = new.map(NewFilesystem::messages).unwrap_or_default();
        let source = std::io::Error::from(errno);
        if !said.is_empty() {
            eprintln!("berth guest: {kind}: {said}");
        }
        Error::File { act: "mount on", path: target.to_owned(), source }
    };
    let new = NewFilesystem::open(kind).map_err(|errno| failed(None, errno))?;
    let made = options
        .iter()
        .try_for_each(|(key, value)| if value.is_empty() { new.flag(key) } else { new.text(key, *value) })
        .and_then(|()| new.mount(attributes))
        .and_then(|tree| attach_at(tree.as_fd(), target));
    made.map_err(|errno| failed(Some(&new), errno))
}

/// Makes a directory and those above it.
pub(super) fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::file("make", path))
}

/// Loads the modules in their order, but for those whose device is not there. They lie in memory, which is given back.
fn load_modules() -> Result<()> {
    let directory = Path::new("/modules");
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .map_err(Error::file("read", directory))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.sort();
    for path in files {
        if !is_of_use(&path) {
            let _ = fs::remove_file(&path);
            continue;
        }
        let file = rustix::fs::openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::file("open", &path)(errno.into()))?;
        match rustix::system::finit_module(&file, c"", 0) {
            Err(errno) if !HARMLESS.contains(&errno) => {
                eprintln!("berth guest: cannot load {}: {errno}", path.display());
            }
            _ => {}
        }
        let _ = fs::remove_file(&path);
    }
    Ok(())
}

/// Whether a module (`<number>-<name>.ko`) drives what this guest has. The buses come first in the order of loading.
fn is_of_use(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name = stem.split_once('-').map_or(stem, |(_, name)| name);
    match module::need(name) {
        Need::Nothing => true,
        Need::Pci => fs::read_dir("/sys/bus/pci/devices").is_ok_and(|mut devices| devices.next().is_some()),
        Need::Virtio(kind) => has_virtio(kind),
    }
}

/// Whether a virtio device of this kind is known, driven or not.
fn has_virtio(kind: u32) -> bool {
    let entries = fs::read_dir("/sys/bus/virtio/devices").into_iter().flatten();
    entries.filter_map(Result::ok).any(|entry| {
        let text = fs::read_to_string(entry.path().join("device")).unwrap_or_default();
        u32::from_str_radix(text.trim().trim_start_matches("0x"), 16) == Ok(kind)
    })
}

/// Moves to a tmpfs. The kernel's first root can neither be left by `pivot_root(2)`, which every container does, nor
/// be unmounted (Documentation/filesystems/ramfs-rootfs-initramfs.rst).
fn leave_first_root() -> Result<()> {
    let target = Path::new("/tmp");
    mount("tmpfs", target, &[("mode", "755")], 0)?;
    for name in ["proc", "sys", "dev"] {
        let (from, to) = (Path::new("/").join(name), target.join(name));
        make_directory(&to)?;
        rustix::mount::mount_move(&from, &to).map_err(|errno| Error::file("move", &from)(errno.into()))?;
    }
    for name in ["run/berth", "tmp", "etc"] {
        make_directory(&target.join(name))?;
    }
    let fail = Error::system("leave the first root");
    let moved = rustix::process::chdir(target)
        .and_then(|()| rustix::mount::mount_move(".", "/"))
        .and_then(|()| rustix::process::chroot("."))
        .and_then(|()| rustix::process::chdir("/"));
    moved.map_err(fail)
}

fn open_port() -> Result<OwnedFd> {
    let started = Instant::now();
    loop {
        if let Some(path) = find_port() {
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
            match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
                Ok(port) => return Ok(port),
                Err(errno) if started.elapsed() > DEVICE_LIMIT => return Err(Error::file("open", &path)(errno.into())),
                Err(_) => {}
            }
        } else if started.elapsed() > DEVICE_LIMIT {
            return Err(Error::Guest(format!("found no port named {PORT}")));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn find_port() -> Option<PathBuf> {
    let entries = fs::read_dir("/sys/class/virtio-ports").ok()?;
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).find_map(|path| {
        let name = fs::read_to_string(path.join("name")).ok()?;
        (name.trim() == PORT).then(|| Path::new("/dev").join(path.file_name().unwrap_or_default()))
    })
}

/// The block device with a serial number, waited for as long as devices may take.
pub(super) fn disk(serial: &str) -> Result<PathBuf> {
    let started = Instant::now();
    loop {
        let found = fs::read_dir("/sys/block").ok().and_then(|entries| {
            entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).find_map(|path| {
                let own = fs::read_to_string(path.join("serial")).ok()?;
                (own.trim() == serial).then(|| Path::new("/dev").join(path.file_name().unwrap_or_default()))
            })
        });
        match found {
            Some(path) if path.exists() => return Ok(path),
            _ if started.elapsed() > DEVICE_LIMIT => return Err(Error::Guest(format!("found no disk named {serial}"))),
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
