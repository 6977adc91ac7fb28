//! Detach keys: `ctrl-p,ctrl-q` read as bytes, and found in what the user types.

/// Docker's default sequence.
pub const DEFAULT: &str = "ctrl-p,ctrl-q";

/// The bytes of a sequence such as `ctrl-a,x`.
///
/// # Errors
/// Docker's text for an unknown key.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    text.split(',').map(key).collect()
}

fn key(text: &str) -> Result<u8, String> {
    let refuse = || format!("Unknown character: '{text}'");
    let lower = text.to_ascii_lowercase();
    match (text.as_bytes(), lower.strip_prefix("ctrl-").map(str::as_bytes)) {
        ([single], _) => Ok(*single),
        (_, Some([letter @ b'a'..=b'z'])) => Ok(letter - b'a' + 1),
        (_, Some(b"@")) => Ok(0),
        (_, Some(b"[")) => Ok(27),
        (_, Some(b"\\")) => Ok(28),
        (_, Some(b"]")) => Ok(29),
        (_, Some(b"^")) => Ok(30),
        (_, Some(b"_")) => Ok(31),
        (_, Some(b",")) => Ok(17),
        _ => match lower.as_str() {
            "del" => Ok(127),
            _ => Err(refuse()),
        },
    }
}

/// Watches typed bytes for the sequence; the beginning of one is held back until it is clear that it is none.
#[derive(Debug, Default)]
pub struct Watch {
    keys: Vec<u8>,
    matched: usize,
}

/// What came of typed bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// Bytes for the container.
    Bytes(Vec<u8>),
    /// Bytes before the sequence; then the user leaves.
    Detach(Vec<u8>),
}

impl Watch {
    /// A watch for `keys`; without any, nothing detaches.
    #[must_use]
    pub fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Takes typed bytes.
    pub fn push(&mut self, typed: &[u8]) -> Typed {
        if self.keys.is_empty() {
            return Typed::Bytes(typed.to_vec());
        }
        let mut passed = Vec::with_capacity(typed.len() + self.matched);
        for byte in typed {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return Typed::Detach(passed);
                }
                continue;
            }
            passed.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(*byte == self.keys[0] && self.keys.len() > 1);
            if self.matched == 0 {
                passed.push(*byte);
            }
        }
        Typed::Bytes(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences() {
        assert_eq!(parse(DEFAULT).unwrap(), [16, 17]);
        assert_eq!(parse("ctrl-[,a,DEL").unwrap(), [27, b'a', 127]);
        assert_eq!(parse("ctrl-a,foo").unwrap_err(), "Unknown character: 'foo'");
        assert!(parse("").is_err() && parse("zzz").is_err());
    }

    #[test]
    fn found_across_reads() {
        let mut watch = Watch::new(vec![16, 17]);
        assert_eq!(watch.push(b"ab\x10"), Typed::Bytes(b"ab".to_vec()));
        assert_eq!(watch.push(b"c"), Typed::Bytes(b"\x10c".to_vec()));
        assert_eq!(watch.push(b"x\x10\x10\x11y"), Typed::Detach(b"x\x10".to_vec()));
        assert_eq!(Watch::new(Vec::new()).push(b"\x10\x11"), Typed::Bytes(b"\x10\x11".to_vec()));
    }
}
