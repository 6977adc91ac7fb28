//! fs-verity: a file whose every read is held against one digest (kernel documentation, `fsverity.rst`).

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Result, check};

/// `FS_IOC_ENABLE_VERITY` and `FS_IOC_MEASURE_VERITY` (`linux/fsverity.h`).
const ENABLE: libc::c_ulong = 0x4080_6685;
const MEASURE: libc::c_ulong = 0xc004_6686;
/// `FS_VERITY_HASH_ALG_SHA256`.
const SHA256: u32 = 1;

/// `struct fsverity_enable_arg`.
#[repr(C)]
struct Enable {
    version: u32,
    hash_algorithm: u32,
    block_size: u32,
    salt_size: u32,
    salt: u64,
    signature_size: u32,
    reserved: u32,
    signature: u64,
    reserved_more: [u64; 11],
}

/// `struct fsverity_digest` with room for SHA-256.
#[repr(C)]
struct Digest {
    algorithm: u16,
    size: u16,
    digest: [u8; 32],
}

/// Seals a file that is open for reading only and that nobody has open for writing: it never changes again.
/// `EOPNOTSUPP` or `ENOTTY` where the file system or the kernel knows no verity.
pub fn enable(file: BorrowedFd<'_>) -> Result<()> {
    let argument = Enable {
        version: 1,
        hash_algorithm: SHA256,
        block_size: 4096,
        salt_size: 0,
        salt: 0,
        signature_size: 0,
        reserved: 0,
        signature: 0,
        reserved_more: [0; 11],
    };
    // SAFETY: the struct has the kernel's layout and outlives the call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), ENABLE, &raw const argument) }.into()).map(drop)
}

/// The SHA-256 digest that a sealed file is held against; `ENODATA` for one that is not sealed.
pub fn measure(file: BorrowedFd<'_>) -> Result<[u8; 32]> {
    let mut digest = Digest { algorithm: 0, size: 32, digest: [0; 32] };
    // SAFETY: the struct has the kernel's layout, states its room and outlives the call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), MEASURE, &raw mut digest) }.into())?;
    Ok(digest.digest)
}
