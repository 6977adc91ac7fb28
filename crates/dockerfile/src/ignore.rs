//! `.dockerignore`: which paths of a context are left out.
//!
//! The rules are those of moby's pattern matcher: patterns are cleaned as paths, the last one that matches decides,
//! `!` takes back, and what matches a folder matches all below it. `*` and `?` stop at `/`; `**/` stands for any number
//! of folders. (Dockerfile reference and "Build context", ".dockerignore files".)
//!
//! ```
//! use berth_dockerfile::Ignore;
//! let ignore = Ignore::parse(b"**/*.log\n!keep.log\nnode_modules\n").unwrap();
//! assert!(ignore.matches("a/b/x.log") && ignore.matches("node_modules/x/y"));
//! assert!(!ignore.matches("keep.log"));
//! assert!(ignore.prunes("node_modules/x") && ignore.prunes("node_modules"));
//! ```

mod pattern;

use crate::error::Error;
use crate::limit;
use pattern::Pattern;

/// The patterns of one file, in order.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    text: String,
    pattern: Pattern,
    takes_back: bool,
}

impl Ignore {
    /// Reads the lines of an ignore file.
    ///
    /// # Errors
    /// [`Error::Pattern`] with the line for what is no pattern, [`Error::IgnoreFile`] beyond a limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > limit::IGNORE_BYTES {
            return Err(Error::IgnoreFile(format!("is larger than {} bytes", limit::IGNORE_BYTES)));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
        Self::from_lines(lines.map(|(index, line)| (index + 1, line)))
    }

    /// The same rules for words given one by one, as `COPY --exclude` does.
    ///
    /// # Errors
    /// As [`Ignore::parse`].
    pub fn from_patterns<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, Error> {
        Self::from_lines(patterns.into_iter().enumerate().map(|(index, line)| (index + 1, line)))
    }

    fn from_lines<'p>(lines: impl Iterator<Item = (usize, &'p str)>) -> Result<Self, Error> {
        let mut rules = Vec::new();
        for (line, text) in lines {
            let text = text.trim();
            let (takes_back, body) = match text.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, text),
            };
            let refuse = |reason| Error::Pattern { pattern: shown(text), line, reason };
            if body.is_empty() {
                match takes_back {
                    true => return Err(refuse("an exclusion needs a pattern")),
                    false => continue,
                }
            }
            if body.len() > limit::IGNORE_PATTERN_BYTES {
                return Err(refuse("it is too long"));
            }
            if rules.len() >= limit::IGNORE_PATTERNS {
                return Err(Error::IgnoreFile(format!("has more than {} patterns", limit::IGNORE_PATTERNS)));
            }
            let cleaned = clean(body);
            let pattern = Pattern::new(&cleaned).map_err(refuse)?;
            let text = if takes_back { format!("!{cleaned}") } else { cleaned };
            rules.push(Rule { text, pattern, takes_back });
        }
        Ok(Self { rules })
    }

    /// Whether there is no pattern at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The patterns as they are matched, `!` in front of those that take back.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.text.as_str())
    }

    /// Whether the path (`/` between its parts, none in front) is left out, by itself or by a folder above it.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let path = path.trim_matches('/');
        let mut out = false;
        for rule in self.rules.iter() {
            // A rule matters only where it would change what was decided.
            if rule.takes_back == out && rule.pattern.matches_with_parents(path) {
                out = !rule.takes_back;
            }
        }
        out
    }

    /// Whether a walk may skip the folder: it is left out, and nothing below it can be taken back.
    #[must_use]
    pub fn prunes(&self, folder: &str) -> bool {
        let folder = folder.trim_matches('/');
        self.matches(folder) && !self.rules.iter().any(|rule| rule.takes_back && rule.pattern.may_match_below(folder))
    }
}

/// A pattern as a clean path: no `.`, no doubled or trailing slash, `..` resolved, none in front.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let rooted = pattern.starts_with('/');
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (parts.is_empty(), rooted) {
        (true, true) => "/".to_owned(),
        (true, false) => ".".to_owned(),
        (false, _) => parts.join("/"),
    }
}

fn shown(pattern: &str) -> String {
    pattern.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignore(text: &str) -> Ignore {
        Ignore::parse(text.as_bytes()).expect("the patterns are valid")
    }

    #[test]
    fn patterns_match_as_mobys_do() {
        // pattern, path, left out
        let cases = [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "file", true),
            ("**/**", "dir/dir2/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir", false),
            ("dir/**", "dir/a/b", true),
            ("**/dir", "dir", true),
            ("**/dir", "a/b/dir", true),
            ("**/dir", "a/xdir", false),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/*", "dir/dir2/dir2/file", true),
            ("**file", "dir/myfile", true),
            ("**/file", "myfile", false),
            ("**/f*e", "a/fuse", true),
            ("a**b", "a/x/b", true),
            ("a**/*.txt", "a/file.txt", true),
            ("a**/*.txt", "a/dir/file.txt", true),
            ("a**/*.txt", "b/file.txt", false),
            ("a/*.txt", "a/dir/file.txt", false),
            ("a/*.txt", "a/file.txt", true),
            ("*", "a/b", true),
            ("*/b", "a/b", true),
            ("*/b", "b", false),
            ("a[b-d]e", "ace", true),
            ("a[b-d]e", "aae", false),
            ("[^a-c]x", "dx", true),
            ("[^a-c]x", "ax", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("a.c", "abc", false),
            ("(a+b|c)$", "(a+b|c)$", true),
            ("/foo", "foo", true),
            ("foo/", "foo", true),
            ("./foo//bar/../baz", "foo/baz", true),
            ("foo", "foo/bar/baz", true),
            ("foo", "foobar", false),
            ("foo", "bar/foo", false),
            ("a/b/c", "a/b", false),
            ("\u{e9}?", "\u{e9}\u{e9}", true),
            ("../up", "up", false),
        ];
        for (pattern, path, left_out) in cases {
            assert_eq!(ignore(pattern).matches(path), left_out, "{pattern} {path}");
        }
    }

    #[test]
    fn the_last_rule_that_matters_decides() {
        let found = ignore("# words\n*.md\n!README*.md\nREADME-secret.md\n\n  docs/ \n!docs/keep\n");
        for (path, left_out) in [
            ("a.md", true),
            ("README.md", false),
            ("README-secret.md", true),
            ("docs/x", true),
            ("docs/keep/y", false),
            ("# words", false),
        ] {
            assert_eq!(found.matches(path), left_out, "{path}");
        }
        assert!(!ignore("*\n!src").matches("src/main.rs"));
        assert!(ignore("!src\n*").matches("src/main.rs"));
        assert!(!ignore("").matches("x"));
        assert!(!ignore("\u{feff}x\r\n! x").matches("x"));
    }

    #[test]
    fn a_walk_skips_what_nothing_takes_back() {
        assert!(ignore("a").prunes("a"));
        assert!(!ignore("a\n!a/b/c").prunes("a"));
        assert!(!ignore("a\n!a/b/c").prunes("a/b"));
        assert!(ignore("a\n!a/b/c").prunes("a/x"));
        assert!(ignore("a\n!b").prunes("a"));
        assert!(!ignore("a\n!**/keep").prunes("a/x"));
        assert!(!ignore("a\n!*/keep").prunes("a"));
        assert!(!ignore("b").prunes("a"));
    }

    #[test]
    fn bad_patterns_are_named_with_their_line() {
        for (text, line, reason) in [
            ("ok\n[a", 2, "a bracket never closes"),
            ("[]", 1, "a bracket holds nothing"),
            ("[b-a]", 1, "a range runs backwards"),
            ("x\\", 1, "it ends with a backslash"),
            ("a\n\n! ", 3, "an exclusion needs a pattern"),
        ] {
            let Err(Error::Pattern { line: at, reason: why, .. }) = Ignore::parse(text.as_bytes()) else {
                panic!("{text:?} passed")
            };
            assert_eq!((at, why), (line, reason), "{text:?}");
        }
    }

    #[test]
    fn hostile_files_end_soon() {
        let began = std::time::Instant::now();
        let stars = ignore(&"*a".repeat(2_000));
        assert!(!stars.matches(&"a".repeat(4_000)) || began.elapsed().as_secs() < 5);
        assert!(Ignore::parse("x\n".repeat(30_000).as_bytes()).is_err());
        assert!(Ignore::parse(&vec![b'x'; limit::IGNORE_BYTES + 1]).is_err());
        assert!(Ignore::parse("y".repeat(5_000).as_bytes()).is_err());
        assert!(Ignore::parse(b"\xff\xfe\n[\xff]\n").is_ok());
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }
}
