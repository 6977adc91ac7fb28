//! Session keyrings (`keyctl(2)`): a container must not see the engine's keys.

use std::ffi::CStr;

use crate::{Result, check};

/// `KEYCTL_JOIN_SESSION_KEYRING`.
const JOIN_SESSION: libc::c_long = 1;

/// Gives the caller a new session keyring of this name. `ENOSYS` on kernels without keys, `EDQUOT` when the user has
/// too many: neither should stop a container.
pub fn new_session(name: &CStr) -> Result<()> {
    // SAFETY: the name is a valid C string.
    check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION, name.as_ptr()) })?;
    Ok(())
}
