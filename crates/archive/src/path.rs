//! Paths as archives write them, made safe to walk.

use crate::{Error, Result};

/// `raw` without root, `.` and `..`, as components; empty for the root itself.
///
/// # Errors
/// [`Error::Escape`] when `..` would leave the root, [`Error::Hostile`] for a NUL byte.
pub fn clean(raw: &[u8]) -> Result<Vec<u8>> {
    if raw.contains(&0) {
        return Err(Error::hostile(raw, "a NUL byte in a path"));
    }
    let mut clean: Vec<u8> = Vec::with_capacity(raw.len());
    for component in raw.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                if clean.is_empty() {
                    return Err(Error::Escape { path: String::from_utf8_lossy(raw).into_owned() });
                }
                clean.truncate(clean.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
            }
            _ => {
                if !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend_from_slice(component);
            }
        }
    }
    Ok(clean)
}

/// Parent and last component of a clean path; the parent of a top-level name is empty.
pub fn split(clean: &[u8]) -> (&[u8], &[u8]) {
    match clean.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&clean[..slash], &clean[slash + 1..]),
        None => (b"", clean),
    }
}

/// Number of components of a clean path.
pub fn depth(clean: &[u8]) -> usize {
    if clean.is_empty() { 0 } else { clean.iter().filter(|byte| **byte == b'/').count() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_or_refused() {
        for (raw, wanted) in [
            ("./a/b/", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            ("a/../b", "b"),
            ("a//./b", "a/b"),
            ("./", ""),
            ("a/b/../../c", "c"),
        ] {
            assert_eq!(clean(raw.as_bytes()).unwrap(), wanted.as_bytes(), "{raw}");
        }
        for raw in ["..", "../x", "a/../../x", "/..", "a\0b"] {
            assert!(clean(raw.as_bytes()).is_err(), "{raw:?}");
        }
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!((depth(b""), depth(b"a"), depth(b"a/b")), (0, 1, 2));
    }
}
