//! Capability sets of the calling thread (`capabilities(7)`). A set is a mask: bit n is capability number n.

use crate::{Errno, Result, check};

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION_3: u32 = 0x2008_0522;

/// The three sets that `capset(2)` writes together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    /// What the kernel checks.
    pub effective: u64,
    /// What may become effective.
    pub permitted: u64,
    /// What may pass over `execve` with file capabilities.
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Reads the caller's sets.
pub fn get() -> Result<Sets> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: version 3 means two halves, which are alive.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) })?;
    let join = |pick: fn(&Half) -> u32| u64::from(pick(&halves[0])) | u64::from(pick(&halves[1])) << 32;
    Ok(Sets {
        effective: join(|half| half.effective),
        permitted: join(|half| half.permitted),
        inheritable: join(|half| half.inheritable),
    })
}

/// Writes the caller's sets; `EPERM` when permitted would grow.
pub fn set(sets: &Sets) -> Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| Half {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let halves = [half(0), half(32)];
    // SAFETY: version 3 means two halves, which are alive.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) })?;
    Ok(())
}

/// The highest capability number the running kernel knows.
pub fn last() -> u32 {
    (0..64).take_while(|number| bounding_has(*number).is_ok()).last().unwrap_or(0)
}

/// Whether the bounding set holds a capability; `EINVAL` for a number the kernel does not know.
pub fn bounding_has(number: u32) -> Result<bool> {
    // SAFETY: integer arguments.
    let returned = unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number), 0, 0, 0) };
    Ok(check(returned.into())? == 1)
}

/// Takes a capability out of the bounding set for ever.
pub fn bounding_drop(number: u32) -> Result<()> {
    // SAFETY: integer arguments.
    check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) }.into())?;
    Ok(())
}

/// Reduces the bounding set to `keep`. Capabilities that are not in it already cost no call.
pub fn bounding_keep(keep: u64) -> Result<()> {
    for number in 0..64 {
        if keep & 1 << number != 0 {
            continue;
        }
        match bounding_has(number) {
            Ok(true) => bounding_drop(number)?,
            Ok(false) => {}
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Empties the ambient set.
pub fn ambient_clear() -> Result<()> {
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong;
    // SAFETY: integer arguments.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, 0 as libc::c_ulong, 0 as libc::c_ulong, 0) }.into())?;
    Ok(())
}

/// Adds to the ambient set a capability that is permitted and inheritable.
pub fn ambient_raise(number: u32) -> Result<()> {
    let raise = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
    // SAFETY: integer arguments.
    check(
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, libc::c_ulong::from(number), 0 as libc::c_ulong, 0) }.into(),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_back_what_was_read_changes_nothing() {
        let before = get().expect("get");
        set(&before).expect("set");
        assert_eq!(get().expect("get"), before);
    }

    #[test]
    fn the_kernel_knows_a_plausible_number() {
        assert!((37..64).contains(&last()), "{}", last());
    }
}
