//! Options of a `local` volume that berth itself acts on: its size, and owner and mode of its root.
//!
//! They stand by themselves (`-o size=1g -o uid=1000`) or, where nothing is mounted, in `o` as for mount(8)
//! (`-o o=size=1g,uid=1000`).

use std::collections::BTreeMap;

use crate::{Error, Location, Result};

/// Keys of this file.
const KEYS: &[&str] = &["size", "uid", "gid", "mode"];

/// What a volume's directory is to be like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Most bytes it takes.
    pub size_bytes: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Permissions, at most 07777.
    pub mode: Option<u32>,
}

impl Look {
    /// Reads the options of a volume that mounts nothing.
    pub fn read(volume: Location<'_>) -> Result<Self> {
        let refuse = |reason: String| Error::InvalidOption { name: volume.name.to_owned(), reason };
        let mut look = Self::default();
        for (key, value) in pairs(volume.options) {
            let wrong = |expected: &str| refuse(format!("invalid option \"{key}\": {value:?} is not {expected}"));
            match key {
                "size" => {
                    let bytes = berth_kit::size::parse_bytes(value).ok().and_then(|bytes| u64::try_from(bytes).ok());
                    let bytes = bytes.ok_or_else(|| wrong("a size such as 64m or 10g"))?;
                    let least = berth_snapshot::disk::BYTES_MIN;
                    if bytes < least {
                        return Err(refuse(format!("invalid option \"size\": {value} is less than {least} bytes")));
                    }
                    look.size_bytes = Some(bytes);
                }
                "uid" => look.uid = Some(value.parse().map_err(|_| wrong("a numeric user id"))?),
                "gid" => look.gid = Some(value.parse().map_err(|_| wrong("a numeric group id"))?),
                "mode" => {
                    let mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                    look.mode = Some(mode.ok_or_else(|| wrong("an octal mode such as 0750"))?);
                }
                _ => return Err(refuse("missing required option: \"device\"".to_owned())),
            }
        }
        Ok(look)
    }

    /// Whether owner or mode are given.
    pub fn owns(self) -> bool {
        self.uid.is_some() || self.gid.is_some() || self.mode.is_some()
    }
}

/// Whether `key` is an option of this file.
pub(super) fn is_own(key: &str) -> bool {
    KEYS.contains(&key)
}

fn pairs(options: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    options.iter().flat_map(|(key, value)| {
        let text = if key == "o" { value.as_str() } else { "" };
        let listed = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let own = (key != "o").then_some((key.as_str(), value.as_str()));
        listed.map(|word| word.split_once('=').unwrap_or((word, ""))).chain(own)
    })
}

/// The options that a copy of the volume has too: none of those that say where its bytes come from.
pub(crate) fn own_options(options: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    if options.contains_key("device") || options.contains_key("type") {
        return BTreeMap::new();
    }
    pairs(options).filter(|(key, _)| is_own(key)).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &[(&str, &str)]) -> Result<Look> {
        let options = list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Look::read(Location { name: "v", options: &options })
    }

    #[test]
    fn both_ways_of_writing() {
        let wanted = Look { size_bytes: Some(64 << 20), uid: Some(7), gid: Some(8), mode: Some(0o1770) };
        assert_eq!(read(&[("size", "64m"), ("uid", "7"), ("gid", "8"), ("mode", "1770")]).unwrap(), wanted);
        assert_eq!(read(&[("o", "size=64m,uid=7, gid=8,mode=1770")]).unwrap(), wanted);
        assert!(!read(&[("size", "64m")]).unwrap().owns());
    }

    #[test]
    fn values_that_cannot_be_are_named() {
        for (key, value) in [
            ("size", "1"),
            ("size", "-1m"),
            ("size", "big"),
            ("uid", "root"),
            ("uid", "-1"),
            ("gid", "4294967296"),
            ("mode", "9"),
            ("mode", "17777"),
        ] {
            let error = read(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(&format!("\"{key}\"")), "{error}");
        }
    }
}
