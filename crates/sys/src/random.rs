//! The kernel's random numbers (random(4)).

use std::io::Write as _;
use std::os::fd::AsRawFd;

use crate::{Result, check};

/// `RNDRESEEDCRNG` (linux/random.h).
const RESEED: libc::c_ulong = 0x5207;

/// Mixes `bytes` into the pool and has all later numbers made from it: for a machine that was copied.
pub fn reseed(bytes: &[u8]) -> Result<()> {
    let open = std::fs::OpenOptions::new().write(true).open("/dev/urandom");
    let written = open.and_then(|mut pool| pool.write_all(bytes).map(|()| pool));
    let pool = written.map_err(|error| crate::Errno::from_io_error(&error).unwrap_or(crate::Errno::IO))?;
    // SAFETY: the request takes no argument.
    check(unsafe { libc::ioctl(pool.as_raw_fd(), RESEED as _, 0) }.into())?;
    Ok(())
}
