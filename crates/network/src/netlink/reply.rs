//! Bytes in: messages and attributes. No length that a reply states is trusted before it is checked.

use super::bits::nl;

/// A reply that is not what netlink says a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A message ends before its header, or says a length that does not fit.
    #[error("netlink message of {said} bytes with {left} bytes left")]
    Message {
        /// The length it states, 0 when not even that is there.
        said: usize,
        /// The bytes that are there.
        left: usize,
    },
    /// An attribute says a length that does not fit.
    #[error("netlink attribute of {said} bytes with {left} bytes left")]
    Attribute {
        /// The length it states.
        said: usize,
        /// The bytes that are there.
        left: usize,
    },
    /// A message is too short for the fixed header of its kind, or an attribute for its type.
    #[error("netlink {what} of {left} bytes is too short")]
    Short {
        /// What was being read.
        what: &'static str,
        /// The bytes that are there.
        left: usize,
    },
}

/// One message of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`: the request it answers.
    pub sequence: u32,
    /// `nlmsg_pid`: the socket that caused it.
    pub port: u32,
    /// What follows the header.
    pub body: &'a [u8],
}

/// Splits a datagram into messages; ends after the first malformed one.
pub fn messages(mut rest: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let left = rest.len();
        let said = if left < 4 { 0 } else { number(rest) as usize };
        if left < nl::HEADER_LEN || said < nl::HEADER_LEN || said > left {
            rest = &[];
            return Some(Err(Malformed::Message { said, left }));
        }
        let message = Message {
            kind: short(&rest[4..]),
            flags: short(&rest[6..]),
            sequence: number(&rest[8..]),
            port: number(&rest[12..]),
            body: &rest[nl::HEADER_LEN..said],
        };
        rest = &rest[said.next_multiple_of(4).min(left)..];
        Some(Ok(message))
    })
}

/// Splits a body into attributes (type without the nested and byte-order bits, value); ends after the first
/// malformed one.
pub fn attributes(mut rest: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), Malformed>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let left = rest.len();
        let said = if left < 4 { 0 } else { usize::from(short(rest)) };
        if said < 4 || said > left {
            rest = &[];
            return Some(Err(Malformed::Attribute { said, left }));
        }
        let attribute = (short(&rest[2..]) & nl::TYPE_MASK, &rest[4..said]);
        rest = &rest[said.next_multiple_of(4).min(left)..];
        Some(Ok(attribute))
    })
}

/// The attributes behind a fixed header of `header_len` bytes, and that header.
///
/// # Errors
/// [`Malformed::Short`] when the body is shorter than the header.
pub fn split<'a>(body: &'a [u8], header_len: usize, what: &'static str) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    body.split_at_checked(header_len).ok_or(Malformed::Short { what, left: body.len() })
}

/// A number of four bytes in host order.
///
/// # Errors
/// [`Malformed::Short`] when there are fewer.
pub fn u32_of(value: &[u8], what: &'static str) -> Result<u32, Malformed> {
    if value.len() < 4 { Err(Malformed::Short { what, left: value.len() }) } else { Ok(number(value)) }
}

/// Text up to the first zero byte; bytes that are no UTF-8 are replaced.
#[must_use]
pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// What an `NLMSG_ERROR` says: errno (0 for an acknowledgement) and the kernel's explanation, if any.
///
/// # Errors
/// [`Malformed::Short`] when it has no errno.
pub fn acknowledgement(message: &Message<'_>) -> Result<(i32, Option<String>), Malformed> {
    let what = "acknowledgement";
    // struct nlmsgerr: errno, then the refused message's header, then (unless capped) its payload.
    let (header, rest) = split(message.body, 4, what)?;
    let errno = i32::from_ne_bytes([header[0], header[1], header[2], header[3]]).wrapping_neg();
    if message.flags & nl::ACK_TLVS == 0 || rest.len() < nl::HEADER_LEN {
        return Ok((errno, None));
    }
    let skip = if message.flags & nl::CAPPED != 0 { nl::HEADER_LEN } else { number(rest) as usize };
    let tail = rest.get(skip.next_multiple_of(4)..).unwrap_or_default();
    let words = attributes(tail).filter_map(Result::ok).find(|(kind, _)| *kind == nl::ERROR_TEXT);
    Ok((errno, words.map(|(_, value)| text(value))))
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn short(bytes: &[u8]) -> u16 {
    u16::from_ne_bytes([bytes[0], bytes[1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(length: u32, kind: u16, flags: u16) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0]);
        bytes
    }

    #[test]
    fn hostile_messages_end_the_reading() {
        let cases: &[(&str, Vec<u8>)] = &[
            ("one byte", vec![1]),
            ("three bytes", vec![1, 2, 3]),
            ("header cut", header(16, 2, 0)[..15].to_vec()),
            ("length zero", header(0, 2, 0)),
            ("length below the header", header(15, 2, 0)),
            ("length beyond the end", header(17, 2, 0)),
            ("length at the top", header(u32::MAX, 2, 0)),
        ];
        for (name, bytes) in cases {
            let all: Vec<_> = messages(bytes).collect();
            assert_eq!(all.len(), 1, "{name}");
            assert!(all[0].is_err(), "{name}");
        }
    }

    #[test]
    fn a_good_message_before_a_bad_one_is_kept() {
        let mut bytes = header(18, 9, 0);
        bytes.extend_from_slice(&[7, 8, 0, 0, 5]);
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(all[0].unwrap().body, [7, 8]);
        assert!(all[1].is_err() && all.len() == 2);
    }

    #[test]
    fn hostile_attributes_end_the_reading() {
        let cases: &[(&str, &[u8])] = &[
            ("one byte", &[1]),
            ("length zero", &[0, 0, 1, 0]),
            ("length below the header", &[3, 0, 1, 0]),
            ("length beyond the end", &[9, 0, 1, 0, 1, 2, 3, 4]),
            ("length at the top", &[0xff, 0xff, 1, 0, 1]),
        ];
        for (name, bytes) in cases {
            let all: Vec<_> = attributes(bytes).collect();
            assert!(all.len() == 1 && all[0].is_err(), "{name}");
        }
        let unpadded_end: Vec<_> = attributes(&[5, 0, 1, 0x80, 42]).collect();
        assert_eq!(unpadded_end, [Ok((1, &[42u8][..]))]);
    }

    #[test]
    fn acknowledgements_of_every_cut_are_safe() {
        let mut body = (-17i32).to_ne_bytes().to_vec();
        body.extend_from_slice(&header(16, 20, 0));
        body.extend_from_slice(&[9, 0, 1, 0]);
        body.extend_from_slice(b"gone\0\0\0\0");
        for end in 0..=body.len() {
            let message =
                Message { kind: nl::ERROR, flags: nl::CAPPED | nl::ACK_TLVS, sequence: 1, port: 0, body: &body[..end] };
            match acknowledgement(&message) {
                Ok((errno, words)) => {
                    assert!(end >= 4 && errno == 17);
                    assert_eq!(words.is_some(), end >= 29, "{end}");
                }
                Err(_) => assert!(end < 4),
            }
            let uncapped = Message { flags: nl::ACK_TLVS, ..message };
            assert_eq!(acknowledgement(&uncapped).is_ok(), end >= 4);
        }
        let lowest = i32::MIN.to_ne_bytes();
        let message = Message { kind: nl::ERROR, flags: 0, sequence: 1, port: 0, body: &lowest };
        assert!(acknowledgement(&message).is_ok());
    }
}
