//! Qualified names: `vendor.com/class=device`.

use std::{fmt, str::FromStr};

use crate::Error;

/// Longest part of a name, in bytes.
const PART_MAX: usize = 253;

/// A device's qualified name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// `vendor.com/class`.
    pub kind: String,
    /// Unique among the devices of its kind.
    pub device: String,
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = text.split_once('=').filter(|(kind, device)| is_kind(kind) && is_device(device));
        match parts {
            Some((kind, device)) => Ok(Self { kind: kind.to_owned(), device: device.to_owned() }),
            None => Err(Error::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.device)
    }
}

/// Whether a text is a kind: a vendor and a class, both of letters, digits, and `_-.` between them.
pub(crate) fn is_kind(text: &str) -> bool {
    let begins = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic());
    text.split_once('/')
        .is_some_and(|(vendor, class)| [vendor, class].iter().all(|part| begins(part) && is_word(part, "_-.")))
}

/// Whether a text may be a device's own name.
pub(crate) fn is_device(text: &str) -> bool {
    is_word(text, "_-.:")
}

fn is_word(text: &str, between: &str) -> bool {
    let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= PART_MAX
        && outer(text.chars().next())
        && outer(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || between.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let name: Name = "vendor.com/net-card=nic:0.1".parse().unwrap();
        assert_eq!((name.kind.as_str(), name.device.as_str()), ("vendor.com/net-card", "nic:0.1"));
        assert_eq!(name.to_string(), "vendor.com/net-card=nic:0.1");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("vendor.com/class={}", "a".repeat(254));
        for bad in [
            "",
            "vendor.com",
            "vendor.com/class",
            "vendor.com/class=",
            "/class=a",
            "v/c=-a",
            "v/c=a/b",
            "1v/c=a",
            "v/c/d=a",
            "v/c=a b",
            &long,
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
