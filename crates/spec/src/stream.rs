//! Docker's multiplexed stream: an 8-byte header `[stream, 0, 0, 0, length big-endian]` before every payload
//! (Engine API, `POST /containers/{id}/attach`, "Stream format").

use bytes::{Buf, Bytes, BytesMut};

/// Length of a frame header in bytes.
pub const HEADER_LEN: usize = 8;
/// The largest payload a decoder accepts, in bytes.
pub const PAYLOAD_MAX: usize = 16 << 20;

/// Which standard stream a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard input (echoed).
    Stdin = 0,
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
    /// An error of the engine itself.
    System = 3,
}

/// Why a multiplexed stream was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// The first byte is no stream.
    #[error("frame names the unknown stream {0}")]
    UnknownStream(u8),
    /// Longer than [`PAYLOAD_MAX`].
    #[error("frame of {0} bytes exceeds the limit of {PAYLOAD_MAX}")]
    TooLong(usize),
}

/// The header of a frame with `len` payload bytes.
#[must_use]
pub fn header(stream: Stream, len: usize) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    [stream as u8, 0, 0, 0, a, b, c, d]
}

/// Splits received bytes into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: BytesMut,
}

impl Decoder {
    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// [`FrameError`] when the header is not one; the stream is lost then.
    pub fn next_frame(&mut self) -> Result<Option<(Stream, Bytes)>, FrameError> {
        let Some(head) = self.pending.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let stream = match head[0] {
            0 => Stream::Stdin,
            1 => Stream::Stdout,
            2 => Stream::Stderr,
            3 => Stream::System,
            other => return Err(FrameError::UnknownStream(other)),
        };
        let len = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if len > PAYLOAD_MAX {
            return Err(FrameError::TooLong(len));
        }
        if self.pending.len() < HEADER_LEN + len {
            return Ok(None);
        }
        self.pending.advance(HEADER_LEN);
        Ok(Some((stream, self.pending.split_to(len).freeze())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_split() {
        let mut wire = header(Stream::Stderr, 3).to_vec();
        wire.extend_from_slice(b"abc");
        let mut decoder = Decoder::default();
        for byte in &wire[..10] {
            decoder.push(&[*byte]);
            assert_eq!(decoder.next_frame(), Ok(None));
        }
        decoder.push(&wire[10..]);
        assert_eq!(decoder.next_frame(), Ok(Some((Stream::Stderr, Bytes::from_static(b"abc")))));
    }

    #[test]
    fn hostile_headers_are_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&[9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(decoder.next_frame(), Err(FrameError::UnknownStream(9)));
        let mut decoder = Decoder::default();
        decoder.push(&[1, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLong(u32::MAX as usize)));
    }
}
