//! Frames of the channel between host and guest.
//!
//! ```text
//! 0      1        5        9
//! kind   stream   length   payload …      numbers little-endian
//! ```

/// The most a frame carries, in bytes.
pub const PAYLOAD_MAX: usize = 4 << 20;
/// What comes before the payload.
pub const HEAD_BYTES: usize = 9;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message of [`crate::message`] as JSON; the stream is 0.
    Message,
    /// Bytes of a stream.
    Data,
    /// A stream's end.
    End,
    /// So many bytes more may be sent on a stream: a number of four bytes.
    Credit,
}

/// A frame's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// Which stream.
    pub stream: u32,
    /// Bytes of payload.
    pub len: usize,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// No such kind.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// Longer than [`PAYLOAD_MAX`].
    #[error("a frame of {0} bytes is too long")]
    Length(usize),
}

/// The head at the beginning of `bytes`; `None` while it is cut.
///
/// # Errors
/// [`Bad`]: the other side does not keep to the protocol, and nothing after this can be understood.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, Bad> {
    let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let kind = match head[0] {
        0 => Kind::Message,
        1 => Kind::Data,
        2 => Kind::End,
        3 => Kind::Credit,
        other => return Err(Bad::Kind(other)),
    };
    let stream = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    let len = u32::from_le_bytes([head[5], head[6], head[7], head[8]]) as usize;
    if len > PAYLOAD_MAX { Err(Bad::Length(len)) } else { Ok(Some(Head { kind, stream, len })) }
}

/// Appends a frame.
pub fn put(out: &mut Vec<u8>, kind: Kind, stream: u32, payload: &[u8]) {
    out.push(kind as u8);
    out.extend_from_slice(&stream.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_at_any_cut() {
        let mut wire = Vec::new();
        put(&mut wire, Kind::Data, 7, b"abc");
        for cut in 0..HEAD_BYTES {
            assert_eq!(head(&wire[..cut]), Ok(None));
        }
        assert_eq!(head(&wire), Ok(Some(Head { kind: Kind::Data, stream: 7, len: 3 })));
        assert_eq!(head(&[9; 9]), Err(Bad::Kind(9)));
        assert_eq!(head(&[1, 0, 0, 0, 0, 0, 0, 0, 1]), Err(Bad::Length(1 << 24)));
    }
}
