//! `--device HOST[:CONTAINER][:PERMISSIONS]`, CDI names, and `--device-cgroup-rule`.

use serde_json::{Value, json};

/// Judges one `--device`.
pub fn check(text: &str) -> Result<(), String> {
    if is_cdi(text) {
        return Ok(());
    }
    let parts: Vec<_> = text.split(':').collect();
    let refuse = || format!("bad format for path: {text}");
    let (paths, mode) = match parts.as_slice() {
        [one] => (vec![*one], None),
        [one, two] if is_mode(two) => (vec![*one], Some(*two)),
        [one, two] => (vec![*one, *two], None),
        [one, two, mode] => (vec![*one, *two], Some(*mode)),
        _ => return Err(refuse()),
    };
    if paths.iter().any(|path| path.is_empty()) {
        return Err(refuse());
    }
    if let Some(mode) = mode.filter(|mode| !is_mode(mode)) {
        return Err(format!("bad mode specified: {mode}"));
    }
    match paths.last() {
        Some(path) if !path.starts_with('/') => Err(format!("{path} is not an absolute path")),
        _ => Ok(()),
    }
}

/// Whether `text` names a device by vendor and class (`vendor.com/class=name`).
#[must_use]
pub fn is_cdi(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    !text.starts_with('/') && kind.contains('/') && !name.is_empty()
}

/// The JSON of a `--device` that was judged and is no CDI name.
#[must_use]
pub fn mapping(text: &str) -> Value {
    let parts: Vec<_> = text.split(':').collect();
    let (host, container, mode) = match parts.as_slice() {
        [one, two, mode] => (*one, *two, *mode),
        [one, two] if is_mode(two) => (*one, *one, *two),
        [one, two] => (*one, *two, "rwm"),
        _ => (text, text, "rwm"),
    };
    json!({"PathOnHost": host, "PathInContainer": container, "CgroupPermissions": mode})
}

fn is_mode(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 3
        && text.bytes().all(|b| b"rwm".contains(&b))
        && text.bytes().enumerate().all(|(at, b)| !text.as_bytes()[..at].contains(&b))
}

/// Judges `--device-cgroup-rule 'c 1:3 rwm'`.
pub fn check_rule(text: &str) -> Result<(), String> {
    let refuse = || Err(format!("invalid device cgroup format '{text}'"));
    let words: Vec<_> = text.split(' ').collect();
    let [kind, numbers, mode] = words.as_slice() else { return refuse() };
    let number = |text: &str| text == "*" || !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbers = numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor));
    let mode = !mode.is_empty() && mode.len() <= 3 && mode.bytes().all(|b| b"rwm".contains(&b));
    match matches!(*kind, "a" | "b" | "c") && numbers && mode {
        true => Ok(()),
        false => refuse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good() {
        for (text, host, container, mode) in [
            ("/dev/fuse", "/dev/fuse", "/dev/fuse", "rwm"),
            ("/dev/a:/dev/b", "/dev/a", "/dev/b", "rwm"),
            ("/dev/a:rw", "/dev/a", "/dev/a", "rw"),
            ("/dev/a:/dev/b:r", "/dev/a", "/dev/b", "r"),
        ] {
            assert_eq!(check(text), Ok(()));
            let expected = json!({"PathOnHost": host, "PathInContainer": container, "CgroupPermissions": mode});
            assert_eq!(mapping(text), expected);
        }
        assert!(is_cdi("vendor.com/net=nic0") && !is_cdi("/dev/x=y/z"));
    }

    #[test]
    fn bad() {
        for text in ["", "a:b:c:d", "/dev/a:/dev/b:x", "dev/a", "/dev/a:rr", ":"] {
            assert!(check(text).is_err(), "{text}");
        }
        assert_eq!(check("/dev/a:/dev/b:xx").unwrap_err(), "bad mode specified: xx");
        assert!(check_rule("c 1:* rwm").is_ok());
        assert_eq!(check_rule("d 1:3 r").unwrap_err(), "invalid device cgroup format 'd 1:3 r'");
    }
}
