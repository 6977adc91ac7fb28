//! A tap: the host's end of the guest's network (Documentation/networking/tuntap.rst).

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    path::Path,
};

use super::bits::{
    GUEST_CHECKSUM, GUEST_TSO4, GUEST_TSO6, HEADER_BYTES, NO_INFORMATION, OFFLOAD_HEADER, SET_HEADER_BYTES,
    SET_INTERFACE, SET_OFFLOADS, TAP, TAP_CHECKSUM, TAP_TSO4, TAP_TSO6,
};
use crate::{Error, Result};

const DEVICE: &str = "/dev/net/tun";

/// See the module.
#[derive(Debug)]
pub struct Tap {
    file: File,
}

impl Tap {
    /// Opens the tap `name`, which its owner made before.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::System`].
    pub fn open(name: &str) -> Result<Self> {
        let mut options = File::options();
        std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true).write(true), libc::O_NONBLOCK);
        let path = Path::new(DEVICE);
        let tap = Self { file: options.open(path).map_err(Error::file("open", path))? };
        // SAFETY: all zeros is a valid `ifreq`.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (into, byte) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
            *into = byte as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = TAP | NO_INFORMATION | OFFLOAD_HEADER;
        tap.call(SET_INTERFACE, (&raw const request) as libc::c_ulong).map_err(Error::io("join the tap"))?;
        let bytes = HEADER_BYTES as libc::c_int;
        tap.call(SET_HEADER_BYTES, (&raw const bytes) as libc::c_ulong).map_err(Error::io("set the tap up"))?;
        Ok(tap)
    }

    /// What the driver takes off the kernel's hands. A tap that cannot leave it does the work itself.
    pub fn set_offloads(&self, features: u64) {
        let pairs = [(GUEST_CHECKSUM, TAP_CHECKSUM), (GUEST_TSO4, TAP_TSO4), (GUEST_TSO6, TAP_TSO6)];
        let taken = pairs.into_iter().filter(|(feature, _)| features & feature != 0);
        let bits = taken.fold(0, |bits, (_, bit)| bits | bit);
        let _ = self.call(SET_OFFLOADS, bits.into());
    }

    /// Reads one packet with its header.
    pub fn receive(&self, frame: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &self.file, frame)
    }

    fn call(&self, number: libc::c_ulong, argument: libc::c_ulong) -> io::Result<()> {
        // SAFETY: the callers above pair each number with a number or with the address of its structure, which is alive.
        match unsafe { libc::ioctl(self.file.as_raw_fd(), number as _, argument) } {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
