//! Byte ranges: what a reader asks for (RFC 9110, section 14), and where a chunk of an upload lies (OCI distribution
//! specification, "Pushing a blob in chunks").

/// What the header `Range` means for a body of a known size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// No range, one of another unit, several ranges, or none at all: the whole body is the answer.
    Whole,
    /// From the first to the last byte, both included.
    Part(u64, u64),
    /// Nothing of the body lies in it.
    Unsatisfiable,
}

/// Reads the header `Range` for a body of `size` bytes.
#[must_use]
pub fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = header.and_then(|text| text.strip_prefix("bytes=")).and_then(|set| set.split_once('-'))
    else {
        return Wanted::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Wanted::Whole,
        (Some(first), _) if first >= size && (last.is_empty() || number(last).is_some()) => Wanted::Unsatisfiable,
        (Some(first), Some(last)) => Wanted::Part(first, last.min(size - 1)),
        (Some(first), None) if last.is_empty() => Wanted::Part(first, size - 1),
        (None, Some(0)) if first.is_empty() => Wanted::Unsatisfiable,
        (None, Some(_)) if first.is_empty() && size == 0 => Wanted::Unsatisfiable,
        (None, Some(suffix)) if first.is_empty() => Wanted::Part(size.saturating_sub(suffix), size - 1),
        _ => Wanted::Whole,
    }
}

/// Reads `Content-Range` of a chunk: `first-last`, also with Docker's `bytes ` before and `/total` behind.
#[must_use]
pub fn chunk(text: &str) -> Option<(u64, u64)> {
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let text = text.split('/').next()?;
    let (first, last) = text.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

/// Digits only: no sign, no space.
fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_readers() {
        for (header, size, expected) in [
            (None, 10, Wanted::Whole),
            (Some("bytes=0-"), 10, Wanted::Part(0, 9)),
            (Some("bytes=3-5"), 10, Wanted::Part(3, 5)),
            (Some("bytes=3-50"), 10, Wanted::Part(3, 9)),
            (Some("bytes=-4"), 10, Wanted::Part(6, 9)),
            (Some("bytes=-40"), 10, Wanted::Part(0, 9)),
            (Some("bytes=-0"), 10, Wanted::Unsatisfiable),
            (Some("bytes=10-"), 10, Wanted::Unsatisfiable),
            (Some("bytes=0-0"), 0, Wanted::Unsatisfiable),
            (Some("bytes=-1"), 0, Wanted::Unsatisfiable),
            (Some("bytes=5-3"), 10, Wanted::Whole),
            (Some("bytes=0-1,3-4"), 10, Wanted::Whole),
            (Some("items=0-1"), 10, Wanted::Whole),
            (Some("bytes=a-b"), 10, Wanted::Whole),
            (Some("bytes=+1-2"), 10, Wanted::Whole),
            (Some("bytes="), 10, Wanted::Whole),
            (Some("bytes=-"), 10, Wanted::Whole),
            (Some("bytes=99999999999999999999999-"), 10, Wanted::Whole),
        ] {
            assert_eq!(wanted(header, size), expected, "{header:?} of {size}");
        }
    }

    #[test]
    fn ranges_of_chunks() {
        assert_eq!(chunk("0-9"), Some((0, 9)));
        assert_eq!(chunk("bytes 5-9/*"), Some((5, 9)));
        for text in ["", "-", "9-0", "0-", "-1", "a-b", "0x1-2", "1-2-3", "99999999999999999999-99999999999999999999"] {
            assert_eq!(chunk(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_part_lies_within_the_body(text in "bytes=[0-9]{0,21}-[0-9]{0,21}", size in 0_u64..100) {
            if let Wanted::Part(first, last) = wanted(Some(&text), size) {
                proptest::prop_assert!(first <= last && last < size);
            }
        }
    }
}
