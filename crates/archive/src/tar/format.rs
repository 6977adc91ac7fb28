//! The fields of a 512-byte header: ustar (POSIX.1-1988), GNU and old V7.

use std::ops::Range;

use super::BLOCK_BYTES;

pub const NAME: Range<usize> = 0..100;
pub const MODE: Range<usize> = 100..108;
pub const UID: Range<usize> = 108..116;
pub const GID: Range<usize> = 116..124;
pub const SIZE: Range<usize> = 124..136;
pub const MTIME: Range<usize> = 136..148;
pub const CHECKSUM: Range<usize> = 148..156;
pub const TYPE: usize = 156;
pub const LINK: Range<usize> = 157..257;
pub const MAGIC: Range<usize> = 257..265;
pub const MAJOR: Range<usize> = 329..337;
pub const MINOR: Range<usize> = 337..345;
pub const PREFIX: Range<usize> = 345..500;

pub const USTAR: &[u8; 8] = b"ustar\x0000";

/// One header.
pub type Block = [u8; BLOCK_BYTES];

/// The bytes of a text field up to its NUL.
pub fn text(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|byte| *byte == 0).unwrap_or(field.len())]
}

/// A number in octal digits, or in GNU's base-256 form (first bit set). `None` when it is neither or too large.
pub fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        let negative = field[0] & 0x40 != 0;
        let first = if negative { i128::from(field[0]) - 256 } else { i128::from(field[0] & 0x7f) };
        let mut value = first;
        for byte in &field[1..] {
            value = value.checked_mul(256)? + i128::from(*byte);
        }
        return i64::try_from(value).ok();
    }
    let end = |byte: &u8| *byte == 0 || *byte == b' ';
    let digits = field.iter().copied().skip_while(|byte| *byte == b' ').collect::<Vec<_>>();
    let digits = &digits[..digits.iter().position(end).unwrap_or(digits.len())];
    if digits.is_empty() {
        return Some(0);
    }
    i64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

/// The sum of all bytes with the checksum field taken as spaces.
pub fn checksum(block: &Block) -> i64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(*byte)).sum::<i64>();
    sum(&block[..CHECKSUM.start]) + 8 * i64::from(b' ') + sum(&block[CHECKSUM.end..])
}

/// Old tars summed signed bytes.
pub fn signed_checksum(block: &Block) -> i64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(byte.cast_signed())).sum::<i64>();
    sum(&block[..CHECKSUM.start]) + 8 * i64::from(b' ') + sum(&block[CHECKSUM.end..])
}

/// Writes `value` in octal with a NUL at the end; `false` when the field is too small.
pub fn put_octal(field: &mut [u8], value: u64) -> bool {
    let width = field.len() - 1;
    let digits = format!("{value:0width$o}");
    if digits.len() > width {
        return false;
    }
    field[..width].copy_from_slice(digits.as_bytes());
    field[width] = 0;
    true
}

/// `size` rounded up to whole blocks; `None` on overflow.
pub fn padded(size: u64) -> Option<u64> {
    size.checked_next_multiple_of(BLOCK_BYTES as u64)
}
