//! The machine's own floor: what starting a process in a container costs the kernel, with no engine around it.
//!
//! One clone3 into seven new namespaces, user included, with its maps; an overlay made by the new mount API; pivot_root,
//! execve of BusyBox's `true`, and the wait. Nothing else: no cgroup, no network, no capabilities, no filter.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags};
use tempfile::TempDir;

/// New mount, cgroup, UTS, IPC, user, PID and network namespaces.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// Where the mapped root begins on the host.
const MAP: &str = "0 700000 65536";

/// A root file system on disk, ready to be run from many times.
#[derive(Debug)]
pub struct Floor {
    place: TempDir,
    arguments: [CString; 2],
}

impl Floor {
    /// Unpacks the archive of a root file system.
    pub fn prepare(rootfs: &[u8]) -> Result<Floor> {
        let place = tempfile::Builder::new().prefix("berth-floor-").tempdir_in("/tmp")?;
        std::fs::create_dir(place.path().join("root"))?;
        tar::Archive::new(rootfs).unpack(place.path().join("lower")).context("unpacking the root file system")?;
        // The mapped root is nobody's owner here: it must be able to pass through.
        std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Floor { place, arguments: [c"/bin/busybox".into(), c"true".into()] })
    }

    /// Runs once, with an upper folder of its own; gives the time from the first mount call to the end of the wait.
    pub fn once(&self, round: usize) -> Result<Duration> {
        let upper = self.place.path().join(format!("upper{round}"));
        let work = self.place.path().join(format!("work{round}"));
        std::fs::create_dir(&upper)?;
        std::fs::create_dir(&work)?;
        let begin = Instant::now();
        let rootfs = overlay(&self.place.path().join("lower"), &upper, &work)?;
        let code = self.run(&rootfs, &self.place.path().join("root"))?;
        let took = begin.elapsed();
        ensure!(code == 0, "the floor's process ended with {code}");
        Ok(took)
    }

    /// clone3, maps, release, wait; the exit code.
    fn run(&self, rootfs: &OwnedFd, target: &Path) -> Result<i32> {
        let (gate_out, gate_in) = rustix::pipe::pipe()?;
        let arguments = self.arguments.each_ref().map(|argument| argument.as_ptr());
        let arguments = [arguments[0], arguments[1], std::ptr::null()];
        let target: PathBuf = target.to_path_buf();
        // SAFETY: this program has one thread while it measures the floor, and the child only makes system calls.
        let pid = unsafe { clone_into_namespaces()? };
        if pid == 0 {
            drop(gate_in);
            let step = child(gate_out.as_fd(), rootfs.as_fd(), &target).is_ok();
            if step {
                // SAFETY: both arrays end with a null pointer and outlive the call.
                unsafe { libc::execve(arguments[0], arguments.as_ptr(), [std::ptr::null()].as_ptr()) };
            }
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(if step { 127 } else { 126 }) }
        }
        std::fs::write(format!("/proc/{pid}/uid_map"), MAP).context("writing uid_map")?;
        std::fs::write(format!("/proc/{pid}/gid_map"), MAP).context("writing gid_map")?;
        rustix::io::write(&gate_in, b"x")?;
        let pid = rustix::process::Pid::from_raw(pid).context("a pid")?;
        let (_, status) =
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?.context("an end")?;
        Ok(status.exit_status().unwrap_or(255))
    }
}

/// The child's way to its root: wait for the maps, take the overlay, make it the root.
fn child(gate: BorrowedFd<'_>, rootfs: BorrowedFd<'_>, target: &Path) -> rustix::io::Result<()> {
    rustix::io::read(gate, &mut [0_u8; 1])?;
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)?;
    rustix::mount::move_mount(rootfs, "", rustix::fs::CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::chdir(target)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)
}

fn overlay(lower: &Path, upper: &Path, work: &Path) -> Result<OwnedFd> {
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).context("fsopen overlay")?;
    let set = |key: &str, path: &Path| rustix::mount::fsconfig_set_string(context.as_fd(), key, path);
    set("lowerdir", lower).and_then(|()| set("upperdir", upper)).and_then(|()| set("workdir", work))?;
    rustix::mount::fsconfig_create(context.as_fd()).context("making the overlay")?;
    let attributes = MountAttrFlags::empty();
    Ok(rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// clone3 without shared memory: as fork, into new namespaces. 0 in the child.
///
/// # Safety
///
/// The caller's process has one thread, or the child makes nothing but system calls.
unsafe fn clone_into_namespaces() -> Result<libc::pid_t> {
    // SAFETY: a zeroed clone_args is a valid one: every field is a number.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = NAMESPACES as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: the arguments live through the call and their size is the type's; no stack is given, so memory is copied.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) };
    ensure!(pid >= 0, "clone3: {}", std::io::Error::last_os_error());
    Ok(libc::pid_t::try_from(pid)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_runs_and_ends_with_zero() {
        let Ok(rootfs) = berth_blackbox::busybox::rootfs() else {
            berth_blackbox::skip!("busybox-static is not installed");
        };
        let floor = Floor::prepare(&rootfs).expect("a folder");
        let took = floor.once(0).expect("a run");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    #[test]
    fn a_run_leaves_no_descriptor_open() {
        let Ok(rootfs) = berth_blackbox::busybox::rootfs() else {
            berth_blackbox::skip!("busybox-static is not installed");
        };
        let floor = Floor::prepare(&rootfs).expect("a folder");
        let count = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let before = count();
        floor.once(0).expect("a run");
        assert_eq!(count(), before);
    }
}
