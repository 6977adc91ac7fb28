//! Labels of the security modules: the AppArmor profile and SELinux label that a program gets at its `execve`.

use std::os::fd::AsFd;
use std::path::Path;

use berth_kit::guard::{Guard, stands};
use berth_sys::Errno;
use oci_spec::runtime::Process;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::error::{Error, Failure, Result};
use crate::mount::kernel_tree;

/// Refuses a label that this kernel cannot give: a wall that is asked for must not be missing silently.
pub(crate) fn check(process: &Process) -> Result<()> {
    let refuse = |field, module: &str| {
        Err(Error::InvalidSpec { field, reason: format!("{module} is not enabled in this kernel") })
    };
    if wanted(process.apparmor_profile()).is_some() && !has_apparmor() {
        return refuse("process.apparmorProfile", "AppArmor");
    }
    if wanted(process.selinux_label()).is_some() && !has_selinux() {
        return refuse("process.selinuxLabel", "SELinux");
    }
    Ok(())
}

/// Whether the kernel enforces AppArmor profiles.
pub fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.first() == Some(&b'Y'))
}

/// Whether the kernel has SELinux with a policy.
pub fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// Just before the program: the labels for the next `execve` (proc_pid_attr(5)). `/proc` must be the container's own.
pub(crate) fn set_for_exec(process: &Process) -> std::result::Result<(), Failure> {
    if let Some(profile) = wanted(process.apparmor_profile()) {
        let line = format!("exec {profile}");
        let modern = write("apparmor/exec", &line);
        modern
            .or_else(|_| write("exec", &line))
            .map_err(|errno| Failure::kernel("apparmor", format_args!("cannot take the profile {profile}"), errno))?;
    }
    if let Some(label) = wanted(process.selinux_label()) {
        write("exec", label)
            .map_err(|errno| Failure::kernel("selinux", format_args!("cannot take the label {label}"), errno))?;
    }
    Ok(())
}

fn wanted(label: &Option<String>) -> Option<&str> {
    label.as_deref().filter(|label| !label.is_empty() && *label != "unconfined")
}

/// Writes into a file of this process below `/proc`, which an image, a volume or another process of the container may
/// have covered: the way must lie in one proc file system and have no link (CVE-2019-16884, CVE-2025-52881).
fn write(name: &str, text: &str) -> std::result::Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let proc = rustix::fs::open("/proc", flags, Mode::empty())?;
    if stands(Guard::ProcWrites) && !kernel_tree::is_proc(proc.as_fd())? {
        return Err(Errno::NODEV);
    }
    let (resolve, path) = if stands(Guard::ProcWrites) {
        let own = rustix::process::getpid().as_raw_nonzero();
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        (resolve, format!("{own}/attr/{name}"))
    } else {
        (ResolveFlags::empty(), format!("self/attr/{name}"))
    };
    let file = rustix::fs::openat2(&proc, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    match rustix::io::write(&file, text.as_bytes())? {
        written if written == text.len() => Ok(()),
        _ => Err(Errno::IO),
    }
}
