//! Container, network and exec identifiers: 64 lower-case hexadecimal digits, as Docker's.

/// Length of a full identifier in characters.
pub const LEN: usize = 64;
/// Length of the short form shown in tables.
pub const SHORT_LEN: usize = 12;

/// A new random identifier of 256 bits.
///
/// # Panics
/// When the kernel's random source fails, which Linux does not do after boot (getrandom(2)).
#[must_use]
pub fn generate() -> String {
    loop {
        let mut bytes = [0u8; LEN / 2];
        getrandom::fill(&mut bytes).expect("getrandom(2) failed");
        let id = hex(&bytes);
        // A short id of digits alone would read as a number in scripts and host names.
        if id[..SHORT_LEN].bytes().any(|b| b.is_ascii_alphabetic()) {
            return id;
        }
    }
}

/// Lower-case hexadecimal text of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// Whether `text` is a full identifier.
#[must_use]
pub fn is_full(text: &str) -> bool {
    text.len() == LEN && is_prefix(text)
}

/// Whether `text` could be the beginning of an identifier.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    !text.is_empty() && text.len() <= LEN && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The first [`SHORT_LEN`] characters; a leading `sha256:` is dropped.
#[must_use]
pub fn short(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..SHORT_LEN).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_are_full_and_differ() {
        let (a, b) = (generate(), generate());
        assert!(is_full(&a) && is_full(&b));
        assert_ne!(a, b);
    }

    #[test]
    fn short_drops_the_algorithm() {
        assert_eq!(short("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short("abc"), "abc");
    }

    #[test]
    fn prefix_refuses_upper_case_and_foreign_characters() {
        assert!(is_prefix("0f"));
        assert!(!is_prefix("0F") && !is_prefix("") && !is_prefix("g"));
    }
}
