//! What tells one machine from another: its uuid, and its devices' hardware addresses.

use berth_kit::id;

use crate::{Error, Result, definition::cut};

/// A hardware address of one station.
///
/// # Errors
/// [`Error::Invalid`].
pub fn parse_mac(text: &str) -> Result<[u8; 6]> {
    let refuse = || Error::invalid(format!("{:?} is no hardware address of a device", cut(text)));
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for slot in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2).ok_or_else(refuse)?;
        *slot = u8::from_str_radix(part, 16).map_err(|_| refuse())?;
    }
    // The lowest bit is that of groups.
    if parts.next().is_some() || mac[0] & 1 == 1 || mac == [0; 6] {
        return Err(refuse());
    }
    Ok(mac)
}

/// Whether a text has the form of RFC 9562.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// RFC 9562, version 4.
#[must_use]
pub fn uuid() -> String {
    let digits = id::generate();
    let part = |from: usize, to: usize| &digits[from..to];
    // The variant's two bits are `10`.
    let variant = ["8", "9", "a", "b"][usize::from(digits.as_bytes()[32] & 3)];
    format!("{}-{}-4{}-{variant}{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30))
}

/// In QEMU's range, the rest random.
#[must_use]
pub fn mac() -> String {
    let digits = id::generate();
    format!("52:54:00:{}:{}:{}", &digits[0..2], &digits[2..4], &digits[4..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_valid_and_new() {
        assert!(is_uuid(&uuid()) && uuid() != uuid());
        assert!(parse_mac(&mac()).is_ok() && mac() != mac());
        for bad in
            ["", "52:54:00:00:00", "01:00:5e:00:00:01", "00:00:00:00:00:00", "5:54:00:00:00:01", "é2:54:00:00:00:0"]
        {
            assert!(parse_mac(bad).is_err(), "{bad}");
        }
    }
}
