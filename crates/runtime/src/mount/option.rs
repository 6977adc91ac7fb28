//! Mount options as `/etc/fstab` and the OCI runtime specification spell them.

use berth_sys::mount::{Propagation, attr};

/// Options of one mount, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Bits of [`attr`] to set on the mount.
    pub(crate) set: u64,
    /// Bits of [`attr`] to clear.
    pub(crate) clear: u64,
    /// Bits to set on the mount and all below (`rro`, `rnosuid`, ...).
    pub(crate) set_recursive: u64,
    /// Bits to clear on the mount and all below.
    pub(crate) clear_recursive: u64,
    /// A propagation type, and whether it holds for all mounts below.
    pub(crate) propagation: Option<(Propagation, bool)>,
    /// `bind` (false) or `rbind` (true).
    pub(crate) bind: Option<bool>,
    /// Show owners through the container's id map, asked for by name.
    pub(crate) with_id_map: bool,
    /// Leave out the id map that a container's bind mounts get.
    pub(crate) without_id_map: bool,
    /// What is meant for the file system itself.
    pub(crate) data: Vec<(String, Option<String>)>,
}

/// Names of attributes that are set, and (with `no` taken off or put on) cleared.
const ATTRIBUTES: &[(&str, &str, u64)] = &[
    ("ro", "rw", attr::READ_ONLY),
    ("nosuid", "suid", attr::NO_SUID),
    ("nodev", "dev", attr::NO_DEV),
    ("noexec", "exec", attr::NO_EXEC),
    ("nodiratime", "diratime", attr::NO_DIRECTORY_ACCESS_TIME),
    ("nosymfollow", "symfollow", attr::NO_SYMLINK_FOLLOW),
];

/// Options that mean nothing to the new mount API, or are the default.
const IGNORED: &[&str] = &[
    "defaults",
    "async",
    "sync",
    "dirsync",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "_netdev",
    "nofail",
    "relatime",
    "norelatime",
    "atime",
    "nostrictatime",
    "loud",
    "silent",
    "iversion",
    "noiversion",
    "mand",
    "nomand",
    "acl",
    "noacl",
    "tmpcopyup",
    "z",
    "Z",
    "cached",
    "delegated",
    "consistent",
];

/// Takes a list of options apart. What is not known as an option of mounts goes to the file system as it is.
pub(crate) fn parse<S: AsRef<str>>(list: &[S]) -> Options {
    let mut options = Options::default();
    for text in list.iter().map(AsRef::as_ref).filter(|text| !text.is_empty()) {
        if IGNORED.contains(&text) || propagation(&mut options, text) || attribute(&mut options, text) {
            continue;
        }
        match text {
            "bind" => options.bind = Some(options.bind.unwrap_or(false)),
            "rbind" => options.bind = Some(true),
            "noatime" => access_time(&mut options, attr::NO_ACCESS_TIME),
            "strictatime" => access_time(&mut options, attr::STRICT_ACCESS_TIME),
            "noidmap" => options.without_id_map = true,
            "idmap" | "ridmap" => (options.with_id_map, options.without_id_map) = (true, false),
            _ => options.data.push(match text.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (text.to_owned(), None),
            }),
        }
    }
    options
}

fn propagation(options: &mut Options, text: &str) -> bool {
    let (kind, recursive) = match text.strip_prefix('r') {
        Some(rest) if matches!(rest, "shared" | "slave" | "private" | "unbindable") => (rest, true),
        _ => (text, false),
    };
    let kind = match kind {
        "shared" => Propagation::Shared,
        "slave" => Propagation::Slave,
        "private" => Propagation::Private,
        "unbindable" => Propagation::Unbindable,
        _ => return false,
    };
    options.propagation = Some((kind, recursive));
    true
}

fn attribute(options: &mut Options, text: &str) -> bool {
    for (on, off, bit) in ATTRIBUTES {
        if text == *on {
            options.set |= bit;
            options.clear &= !bit;
        } else if text == *off {
            options.clear |= bit;
            options.set &= !bit;
        } else if text.strip_prefix('r') == Some(on) {
            options.set_recursive |= bit;
        } else if text.strip_prefix('r') == Some(off) {
            options.clear_recursive |= bit;
        } else {
            continue;
        }
        return true;
    }
    false
}

/// The kinds of access times exclude each other: all are cleared before one is set.
fn access_time(options: &mut Options, bit: u64) {
    options.clear |= attr::ACCESS_TIME;
    options.set = options.set & !attr::ACCESS_TIME | bit;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_apart() {
        let options = parse(&["rbind", "rprivate", "ro", "nosuid", "suid", "rro", "mode=1777", "size=64m", "noswap"]);
        assert_eq!((options.bind, options.propagation), (Some(true), Some((Propagation::Private, true))));
        assert_eq!((options.set, options.clear), (attr::READ_ONLY, attr::NO_SUID));
        assert_eq!(options.set_recursive, attr::READ_ONLY);
        let data: Vec<_> = options.data.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        assert_eq!(data, [("mode", Some("1777")), ("size", Some("64m")), ("noswap", None)]);
    }

    #[test]
    fn the_last_word_on_an_attribute_wins() {
        assert_eq!(parse(&["ro", "rw"]).set, 0);
        assert_eq!(parse(&["rw", "ro"]).set, attr::READ_ONLY);
        assert_eq!(parse(&["strictatime", "noatime"]).set, attr::NO_ACCESS_TIME);
    }
}
