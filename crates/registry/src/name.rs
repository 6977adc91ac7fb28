//! Names of repositories and tags (OCI distribution specification, "Pulling manifests").

/// Longest repository name in bytes.
pub const NAME_BYTES_MAX: usize = 229;
/// Longest tag in bytes.
pub const TAG_BYTES_MAX: usize = 128;

/// Whether `name` is a repository's: components of lower-case letters and digits, joined by `.`, `_`, `__` or hyphens,
/// between slashes.
#[must_use]
pub fn is_repository(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX && name.split('/').all(is_component)
}

fn is_component(component: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    is_letter(*first)
        && is_letter(*last)
        && component
            .split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit())
            .all(|joint| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|byte| byte == b'-'))
}

/// Whether `tag` is a tag.
#[must_use]
pub fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_BYTES_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

/// Whether a glob fits a repository name: `*` stands for any letters within a component, `**` for any at all.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    fits_bytes(pattern.as_bytes(), name.as_bytes())
}

/// Backtracks to the last star only, so the time is at most the product of the lengths.
fn fits_bytes(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    // Where to go on when the rest does not fit: pattern behind the star, name behind what it took.
    let mut single: Option<(usize, usize)> = None;
    let mut double: Option<(usize, usize)> = None;
    loop {
        if pattern[at..].starts_with(b"**") {
            at += 2;
            (double, single) = (Some((at, position)), None);
            continue;
        }
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            single = Some((at, position));
            continue;
        }
        match (pattern.get(at), name.get(position)) {
            (None, None) => return true,
            (Some(one), Some(other)) if one == other => (at, position) = (at + 1, position + 1),
            _ => match (single, double) {
                (Some((behind, taken)), _) if name.get(taken).is_some_and(|byte| *byte != b'/') => {
                    single = Some((behind, taken + 1));
                    (at, position) = (behind, taken + 1);
                }
                (_, Some((behind, taken))) if taken < name.len() => {
                    (double, single) = (Some((behind, taken + 1)), None);
                    (at, position) = (behind, taken + 1);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags_by_the_grammar() {
        for name in ["a", "a/b", "a-b", "a--b/c__d", "library/debian", "0/1", "a.b_c"] {
            assert!(is_repository(name), "{name}");
        }
        let long = "a".repeat(230);
        for name in
            ["", "/", "a/", "/a", "a//b", "A", "a..b", "../b", ".", "a___b", "-a", "a-", "a b", "é", "a%2f", &long]
        {
            assert!(!is_repository(name), "{name}");
        }
        for tag in ["a", "_", "1.2.3", "A-b", &"t".repeat(128)] {
            assert!(is_tag(tag), "{tag}");
        }
        for tag in ["", ".", "-a", "a/b", "a:b", "..", "é", "a b", &"t".repeat(129)] {
            assert!(!is_tag(tag), "{tag}");
        }
    }

    #[test]
    fn globs_stay_in_a_component_unless_doubled() {
        for (pattern, name, expected) in [
            ("**", "a/b/c", true),
            ("*", "a", true),
            ("*", "a/b", false),
            ("team/*", "team/app", true),
            ("team/*", "team/app/x", false),
            ("team/**", "team/app/x", true),
            ("team/**", "teams/app", false),
            ("*/app", "team/app", true),
            ("*/app", "a/b/app", false),
            ("**/app", "a/b/app", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("**a*b/*c", "x/yab/zc", true),
            ("team", "team", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_hostile_glob_takes_no_time() {
        let begin = std::time::Instant::now();
        assert!(!fits(&"*a".repeat(2000), &"a".repeat(1999)));
        assert!(!fits(&"**a".repeat(1000), &format!("{}b", "a".repeat(3000))));
        assert!(begin.elapsed() < std::time::Duration::from_secs(2));
    }
}
