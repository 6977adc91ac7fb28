//! Labels of the security modules: the AppArmor profile and SELinux label that a program gets at its `execve`.

use std::path::Path;

use berth_sys::Errno;
use oci_spec::runtime::Process;

use crate::error::{Error, Failure, Result};

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
        let modern = write("/proc/self/attr/apparmor/exec", &line);
        modern
            .or_else(|_| write("/proc/self/attr/exec", &line))
            .map_err(|errno| Failure::kernel("apparmor", format_args!("cannot take the profile {profile}"), errno))?;
    }
    if let Some(label) = wanted(process.selinux_label()) {
        write("/proc/self/attr/exec", label)
            .map_err(|errno| Failure::kernel("selinux", format_args!("cannot take the label {label}"), errno))?;
    }
    Ok(())
}

fn wanted(label: &Option<String>) -> Option<&str> {
    label.as_deref().filter(|label| !label.is_empty() && *label != "unconfined")
}

fn write(path: &str, text: &str) -> std::result::Result<(), Errno> {
    /// `PROC_SUPER_MAGIC` of `linux/magic.h`.
    const PROC: u64 = 0x9fa0;
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
    // An image that brings files of its own there would swallow the label (CVE-2019-16884).
    if rustix::fs::fstatfs(&file)?.f_type as u64 != PROC {
        return Err(Errno::NODEV);
    }
    match rustix::io::write(&file, text.as_bytes())? {
        written if written == text.len() => Ok(()),
        _ => Err(Errno::IO),
    }
}
