//! The caller's own process attributes: `prctl(2)`, ids, groups.

use std::ffi::CStr;

use crate::{Result, check};

/// One `prctl` with one argument.
fn control(option: libc::c_int, argument: libc::c_ulong) -> Result<()> {
    // SAFETY: used with integer options only.
    check(unsafe { libc::prctl(option, argument, 0 as libc::c_ulong, 0 as libc::c_ulong, 0 as libc::c_ulong) }.into())?;
    Ok(())
}

/// No `execve` may gain rights from here on; cannot be undone.
pub fn set_no_new_privileges() -> Result<()> {
    control(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Whether others of the same user may trace this process and read its `/proc` links.
pub fn set_dumpable(dumpable: bool) -> Result<()> {
    control(libc::PR_SET_DUMPABLE, dumpable.into())
}

/// Whether permitted capabilities survive the change from root to another user.
pub fn set_keep_capabilities(keep: bool) -> Result<()> {
    control(libc::PR_SET_KEEPCAPS, keep.into())
}

/// Orphans below the caller become its children.
pub fn set_child_subreaper(enabled: bool) -> Result<()> {
    control(libc::PR_SET_CHILD_SUBREAPER, enabled.into())
}

/// The signal the caller gets when its parent ends (0: none). Cleared by a change of user.
pub fn set_parent_death_signal(signal: i32) -> Result<()> {
    control(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong)
}

/// The name shown by `ps` (15 bytes count).
pub fn set_name(name: &CStr) -> Result<()> {
    control(libc::PR_SET_NAME, name.as_ptr() as libc::c_ulong)
}

/// What `ps` and `/proc/<pid>/cmdline` show of the caller from here on: `line` with a zero byte after each argument, cut
/// to the room that the first arguments of the program took (proc_pid_stat(5), fields 48 and 49).
pub fn set_command_line(line: &[u8]) -> std::io::Result<()> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (start, end) = argument_area(&stat).ok_or(std::io::ErrorKind::InvalidData)?;
    let room = end.saturating_sub(start);
    let kept = line.len().min(room.saturating_sub(1));
    // SAFETY: the kernel says that these bytes of the stack hold the program's arguments; nothing in this program keeps
    // a reference to them, as the standard library copies arguments out when it is asked for them.
    unsafe {
        let area = std::ptr::with_exposed_provenance_mut::<u8>(start);
        std::ptr::write_bytes(area, 0, room);
        std::ptr::copy_nonoverlapping(line.as_ptr(), area, kept);
    }
    Ok(())
}

/// Addresses of the first byte of the arguments and of the one behind the last.
fn argument_area(stat: &str) -> Option<(usize, usize)> {
    // The name, in brackets, may hold anything; field 3 follows its last bracket.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(48 - 3);
    let start = fields.next()?.parse().ok()?;
    let end = fields.next()?.parse().ok()?;
    (start != 0 && end > start).then_some((start, end))
}

/// Sets the supplementary groups, then all group ids, then all user ids, of the (single-threaded) caller.
/// Raw calls: the C library's own would signal other threads.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<()> {
    // SAFETY: pointer and length describe the slice.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    Ok(())
}

/// The calling thread acts on files as another user, with all its capabilities, until this is dropped.
#[derive(Debug)]
pub struct FilesystemIds {
    uid: libc::c_int,
    gid: libc::c_int,
    capabilities: crate::capability::Sets,
    dumpable: bool,
}

impl FilesystemIds {
    /// Takes the ids (`setfsuid(2)`). The kernel takes some capabilities away with it; they are put back.
    pub fn take(uid: u32, gid: u32) -> Result<Self> {
        let capabilities = crate::capability::get()?;
        // SAFETY: integer arguments.
        let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) } == 1;
        // SAFETY: plain integers; the calls return the previous ids and do not fail for a privileged caller.
        let (uid, gid) = unsafe {
            let gid = libc::setfsgid(gid);
            (libc::setfsuid(uid), gid)
        };
        let guard = Self { uid, gid, capabilities, dumpable };
        crate::capability::set(&capabilities)?;
        Ok(guard)
    }
}

impl Drop for FilesystemIds {
    fn drop(&mut self) {
        // SAFETY: plain integers; going back to ids held a moment ago, still with CAP_SETUID, cannot fail.
        unsafe {
            libc::setfsuid(self.uid as libc::uid_t);
            libc::setfsgid(self.gid as libc::gid_t);
        }
        // Rights that were held a moment ago cannot be refused.
        let _ = crate::capability::set(&self.capabilities);
        let _ = set_dumpable(self.dumpable);
    }
}

/// Sets the file-mode creation mask and returns the one before.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: cannot fail, touches nothing else.
    unsafe { libc::umask(mask as libc::mode_t) }
}

/// Starts a session of which the caller is the leader.
pub fn new_session() -> Result<()> {
    // SAFETY: no arguments.
    check(unsafe { libc::setsid() }.into())?;
    Ok(())
}

/// Ends the caller at once, running no destructor and no exit handler.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(code) }
}

/// Makes the caller deaf to a signal (`SIGKILL` and `SIGSTOP` cannot be ignored: `EINVAL`).
pub fn ignore_signal(signal: i32) -> Result<()> {
    // SAFETY: SIG_IGN is a valid action for every signal that may have one.
    let previous = unsafe { libc::signal(signal, libc::SIG_IGN) };
    if previous == libc::SIG_ERR { Err(crate::Errno::INVAL) } else { Ok(()) }
}

/// Gives every signal its default action and blocks none: a container must not inherit the engine's choices.
pub fn reset_signals() -> Result<()> {
    // The kernel's `struct sigaction` of all zeros is the default action. The C library's own call would leave out the
    // two signals it keeps for itself, which may have been inherited as ignored.
    let default_action = [0u64; 4];
    for signal in (1..=64).filter(|signal| *signal != libc::SIGKILL && *signal != libc::SIGSTOP) {
        let unwanted = std::ptr::null_mut::<u64>();
        // SAFETY: the array is as large as the kernel's structure; sets are 8 bytes.
        check(unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default_action.as_ptr(), unwanted, 8) })?;
    }
    // SAFETY: an empty set is initialised before use.
    let returned = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut())
    };
    check(returned.into())?;
    Ok(())
}

/// Blocks every signal, so that [`next_signal`] gets them all.
pub fn block_signals() -> Result<()> {
    // SAFETY: a full set is initialised before use.
    let returned = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut())
    };
    check(returned.into())?;
    Ok(())
}

/// Waits for any signal and takes it; the signals must be blocked.
pub fn next_signal() -> Result<i32> {
    // SAFETY: a full set is initialised before use; no details are asked for.
    let signal = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigwaitinfo(&raw const all, std::ptr::null_mut())
    };
    Ok(check(signal.into())? as i32)
}

/// Sends a signal to a process, or with a negative number to a process group.
pub fn send_signal(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: plain integers.
    check(unsafe { libc::kill(pid, signal) }.into())?;
    Ok(())
}

/// When a process was born (proc_pid_stat(5), field 22); `None` for one that has ended, collected or not. Allocates.
pub fn birth(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_birth() {
        let own = birth(std::process::id() as i32).expect("alive");
        assert_eq!(birth(std::process::id() as i32), Some(own));
        assert_ne!(birth(1), Some(own));
        let mut child = std::process::Command::new("true").spawn().expect("spawn");
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(birth(child.id() as i32), None, "ended, but not collected");
        child.wait().expect("wait");
    }
}
