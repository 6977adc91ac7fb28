//! The compression of Debian's cloud kernel: LZ4 in its legacy frame (LZ4 Frame Format Description, "Legacy frame";
//! LZ4 Block Format Description).

/// First bytes of a legacy frame.
pub const MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// A legacy block holds at most this many bytes.
const BLOCK_BYTES: usize = 8 << 20;

/// Decodes a legacy frame; `limit` bounds the output in bytes. Bytes after the last block are left alone, as the kernel's
/// build appends the size of the whole there.
///
/// # Errors
/// What is wrong with the bytes.
pub fn legacy(bytes: &[u8], limit: usize) -> Result<Vec<u8>, &'static str> {
    let mut rest = bytes.strip_prefix(&MAGIC).ok_or("no legacy LZ4 frame")?;
    let mut output = Vec::new();
    while let Some((head, behind)) = rest.split_first_chunk::<4>() {
        let len = u32::from_le_bytes(*head) as usize;
        if *head == MAGIC {
            rest = behind;
            continue;
        }
        // The trailing size of the whole is the only other thing that may stand here.
        if len > behind.len() {
            break;
        }
        let (block, behind) = behind.split_at(len);
        let room = limit.saturating_sub(output.len()).min(BLOCK_BYTES);
        decode_block(block, &mut output, room)?;
        rest = behind;
    }
    Ok(output)
}

/// Appends one decoded block of at most `room` bytes.
fn decode_block(mut input: &[u8], output: &mut Vec<u8>, room: usize) -> Result<(), &'static str> {
    let start = output.len();
    let end = start + room;
    loop {
        let Some((&token, rest)) = input.split_first() else { return Ok(()) };
        input = rest;
        let literals = length(usize::from(token >> 4), &mut input)?;
        if literals > input.len() {
            return Err("literals beyond the block's end");
        }
        if output.len() + literals > end {
            return Err("a block is longer than allowed");
        }
        output.extend_from_slice(&input[..literals]);
        input = &input[literals..];
        if input.is_empty() {
            return Ok(());
        }
        let (offset, rest) = input.split_first_chunk::<2>().ok_or("a cut offset")?;
        input = rest;
        let offset = usize::from(u16::from_le_bytes(*offset));
        let matched = length(usize::from(token & 15), &mut input)? + 4;
        if offset == 0 || offset > output.len() - start {
            return Err("a match before the block's start");
        }
        if output.len() + matched > end {
            return Err("a block is longer than allowed");
        }
        copy_match(output, offset, matched);
    }
}

/// A match may overlap what it makes.
fn copy_match(output: &mut Vec<u8>, offset: usize, mut len: usize) {
    while len > 0 {
        let from = output.len() - offset;
        let part = len.min(offset);
        output.extend_from_within(from..from + part);
        len -= part;
    }
}

fn length(nibble: usize, input: &mut &[u8]) -> Result<usize, &'static str> {
    let mut total = nibble;
    if nibble == 15 {
        loop {
            let (&byte, rest) = input.split_first().ok_or("a cut length")?;
            *input = rest;
            total += usize::from(byte);
            if byte != 255 {
                break;
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(block: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(block.len() as u32).to_le_bytes());
        bytes.extend_from_slice(block);
        bytes
    }

    #[test]
    fn literals_and_overlapping_matches() {
        // "ab", then 4+3 bytes from 2 back, then the last literal.
        let mut bytes = framed(&[0x23, b'a', b'b', 2, 0, 0x10, b'!']);
        assert_eq!(legacy(&bytes, 1 << 20).expect("decodes"), b"ababababa!");
        bytes.extend_from_slice(&10u32.to_le_bytes());
        assert_eq!(legacy(&bytes, 1 << 20).expect("decodes").len(), 10, "the size at the end is no block");
    }

    #[test]
    fn hostile_blocks_are_refused() {
        for block in [&[0xf0_u8, 255][..], &[0x10], &[0x10, b'a', 0, 0], &[0x10, b'a', 9, 0], &[0x20, b'a', b'b', 1]] {
            assert!(legacy(&framed(block), 1 << 20).is_err(), "{block:?}");
        }
        assert!(legacy(&framed(&[0x1f, b'a', 1, 0, 255, 255, 255, 0]), 100).is_err(), "beyond the limit");
        assert!(legacy(b"PK", 1).is_err());
    }
}
