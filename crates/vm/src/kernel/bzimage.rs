//! From a `bzImage` to the ELF image inside (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").
//!
//! A monitor that enters the kernel by PVH or in 64-bit mode wants the ELF; decompressing once, here, also spares every
//! boot the time to do it.

use std::io::Read as _;

use super::lz4;
use crate::{Error, Result};

/// The largest kernel that is taken, in bytes, decompressed.
pub const KERNEL_BYTES_MAX: usize = 256 << 20;
const ELF: [u8; 4] = *b"\x7fELF";
/// `HdrS`.
const HEADER: std::ops::Range<usize> = 0x202..0x206;
/// First version of the boot protocol that tells where the payload is.
const VERSION_PAYLOAD: u16 = 0x0208;

/// The ELF image in `image`, which is a `bzImage` or an ELF image itself.
///
/// # Errors
/// [`Error::Malformed`].
pub fn to_elf(image: &[u8]) -> Result<Vec<u8>> {
    if image.starts_with(&ELF) {
        return Ok(image.to_vec());
    }
    let payload = payload(image).ok_or_else(|| bad("neither a bzImage nor an ELF image"))?;
    let elf = decompress(payload)?;
    if elf.starts_with(&ELF) { Ok(elf) } else { Err(bad("its payload is no ELF image")) }
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| image.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    if image.get(HEADER)? != b"HdrS" {
        return None;
    }
    let version = u16::from_le_bytes(image.get(0x206..0x208)?.try_into().ok()?);
    if version < VERSION_PAYLOAD {
        return None;
    }
    let sectors = match image[0x1f1] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + word(0x248)? as usize;
    image.get(start..start.checked_add(word(0x24c)? as usize)?)
}

fn decompress(payload: &[u8]) -> Result<Vec<u8>> {
    if payload.starts_with(&lz4::MAGIC) {
        return lz4::legacy(payload, KERNEL_BYTES_MAX).map_err(bad);
    }
    let mut elf = Vec::new();
    if payload.starts_with(&[0x1f, 0x8b]) {
        let mut decoder = flate2::read::GzDecoder::new(payload).take(KERNEL_BYTES_MAX as u64);
        decoder.read_to_end(&mut elf).map_err(|error| bad(&error.to_string()))?;
        return Ok(elf);
    }
    if payload.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = berth_archive::compression::decoder(std::io::BufReader::new(payload))
            .map_err(|error| bad(&error.to_string()))?;
        // The size of the whole follows the stream, and is no part of it.
        let outcome = decoder.take(KERNEL_BYTES_MAX as u64).read_to_end(&mut elf);
        return if elf.is_empty() { outcome.map(|_| elf).map_err(|error| bad(&error.to_string())) } else { Ok(elf) };
    }
    Err(bad("its compression is not one of LZ4, gzip and zstd; give the uncompressed vmlinux instead"))
}

fn bad(reason: &str) -> Error {
    Error::malformed("the kernel image", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage whose payload is one LZ4 block of literals.
    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[0x1f1] = 1;
        image[HEADER].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend_from_slice(&[0; 16]);
        image.extend_from_slice(payload);
        image
    }

    #[test]
    fn the_payload_is_found_and_unpacked() {
        let mut payload = lz4::MAGIC.to_vec();
        payload.extend_from_slice(&[6, 0, 0, 0, 0x50, 0x7f, b'E', b'L', b'F', 2]);
        assert_eq!(to_elf(&image(&payload)).expect("elf"), b"\x7fELF\x02");
        assert_eq!(to_elf(b"\x7fELF..").expect("elf"), b"\x7fELF..");
    }

    #[test]
    fn lies_are_refused() {
        let mut cut = image(b"xx");
        cut.truncate(1030);
        for bytes in [&cut[..], b"", &image(b"\xfd7zXZ"), &image(&lz4::MAGIC)] {
            assert!(to_elf(bytes).is_err());
        }
    }
}
