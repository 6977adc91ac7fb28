//! Bytes of the `local` format.
//!
//! ```text
//! file  = "BERTHLG1" frame*
//! frame = len:u32le  flags:u8  at_ns:i64le  bytes:[u8; len − 9]  len:u32le
//! flags = bit 0: standard error, bit 1: partial
//! ```
//!
//! The length stands at both ends, so a file is read from its end without an index.

use std::{fs::File, io, os::unix::fs::FileExt};

use jiff::Timestamp;

use crate::{Entry, LINE_MAX, Stream};

/// The first bytes of every file.
pub(crate) const MAGIC: &[u8] = b"BERTHLG1";
/// Bytes of a frame beside the entry's own.
pub const OVERHEAD: usize = 4 + BODY_MIN + 4;
const BODY_MIN: usize = 1 + 8;
const BODY_MAX: usize = BODY_MIN + LINE_MAX;
/// The longest frame, in bytes.
pub const FRAME_MAX: usize = 4 + BODY_MAX + 4;

const STDERR: u8 = 1;
const PARTIAL: u8 = 2;

/// Appends one frame.
///
/// # Panics
/// When the entry is longer than [`LINE_MAX`].
pub fn encode(out: &mut Vec<u8>, entry: &Entry<'_>) {
    assert!(entry.bytes.len() <= LINE_MAX, "an entry of {} bytes", entry.bytes.len());
    let len = ((BODY_MIN + entry.bytes.len()) as u32).to_le_bytes();
    let at_ns = i64::try_from(entry.at.as_nanosecond()).unwrap_or(0);
    let stderr = if entry.stream == Stream::Stderr { STDERR } else { 0 };
    out.extend_from_slice(&len);
    out.push(stderr | if entry.partial { PARTIAL } else { 0 });
    out.extend_from_slice(&at_ns.to_le_bytes());
    out.extend_from_slice(entry.bytes);
    out.extend_from_slice(&len);
}

/// What begins at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A frame of so many bytes.
    Frame(Entry<'a>, usize),
    /// Possibly a frame, when more bytes come.
    Short,
    /// No frame.
    Broken,
}

/// Reads the frame at the beginning of `bytes`.
#[must_use]
pub fn decode(bytes: &[u8]) -> Decoded<'_> {
    let Some(head) = bytes.first_chunk::<4>() else { return Decoded::Short };
    let len = u32::from_le_bytes(*head) as usize;
    if !(BODY_MIN..=BODY_MAX).contains(&len) {
        return Decoded::Broken;
    }
    if bytes.len() < len + 8 {
        return Decoded::Short;
    }
    let (body, tail) = bytes[4..len + 8].split_at(len);
    let (flags, mut at_ns) = (body[0], [0u8; 8]);
    at_ns.copy_from_slice(&body[1..BODY_MIN]);
    let at = Timestamp::from_nanosecond(i64::from_le_bytes(at_ns).into());
    match at {
        Ok(at) if tail == head && flags <= (STDERR | PARTIAL) => {
            let stream = if flags & STDERR == 0 { Stream::Stdout } else { Stream::Stderr };
            Decoded::Frame(Entry { stream, at, partial: flags & PARTIAL != 0, bytes: &body[BODY_MIN..] }, len + 8)
        }
        _ => Decoded::Broken,
    }
}

/// Offset of the frame that ends at `end`, found by its trailing length; `None` when there is none.
pub(crate) fn before(file: &File, end: u64) -> io::Result<Option<u64>> {
    let mut len = [0u8; 4];
    if end < MAGIC.len() as u64 + OVERHEAD as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut len, end - 4)?;
    let body = u64::from(u32::from_le_bytes(len));
    let start = match end.checked_sub(body + 8) {
        Some(start) if start >= MAGIC.len() as u64 && body <= BODY_MAX as u64 && body >= BODY_MIN as u64 => start,
        _ => return Ok(None),
    };
    let mut head = [0u8; 4];
    file.read_exact_at(&mut head, start)?;
    Ok((head == len).then_some(start))
}

/// Cuts off a frame that a crash left incomplete.
pub(crate) fn mend(file: &File, len: u64) -> io::Result<u64> {
    if len == MAGIC.len() as u64 || before(file, len)?.is_some() {
        return Ok(len);
    }
    let sound = sound_length(file, len)?;
    file.set_len(sound)?;
    Ok(sound)
}

/// The end of the last whole frame, looked for from the beginning.
fn sound_length(file: &File, len: u64) -> io::Result<u64> {
    let (mut window, mut sound, mut offset) = (vec![0u8; 4 * FRAME_MAX], 0u64, MAGIC.len() as u64);
    while offset < len {
        let filled = file.read_at(&mut window, offset)?;
        if filled == 0 {
            break;
        }
        let mut used = 0;
        while used < filled {
            match decode(&window[used..filled]) {
                Decoded::Frame(_, size) => {
                    used += size;
                    sound = offset + used as u64;
                }
                Decoded::Short if used > 0 => break,
                // Neither here nor with a full window behind it: look one byte on.
                Decoded::Short | Decoded::Broken => used += 1,
            }
        }
        offset += used as u64;
    }
    Ok(sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_and_cut_frames_are_short() {
        let at = Timestamp::from_nanosecond(1_700_000_000_123_456_789).unwrap();
        let entry = Entry { stream: Stream::Stderr, at, partial: true, bytes: b"\x00\xff\n" };
        let mut out = Vec::new();
        encode(&mut out, &entry);
        assert_eq!(decode(&out), Decoded::Frame(entry, out.len()));
        for cut in 0..out.len() {
            assert_eq!(decode(&out[..cut]), Decoded::Short, "{cut}");
        }
    }

    #[test]
    fn hostile_frames_are_broken() {
        let mut good = Vec::new();
        encode(&mut good, &Entry { stream: Stream::Stdout, at: Timestamp::UNIX_EPOCH, partial: false, bytes: b"x" });
        let change = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        for hostile in [vec![0; 64], vec![0xff; 64], change(0, 8), change(3, 0x80), change(4, 4), change(14, 9)] {
            assert_ne!(
                std::mem::discriminant(&decode(&hostile)),
                std::mem::discriminant(&decode(&good)),
                "{hostile:?}"
            );
        }
    }
}
