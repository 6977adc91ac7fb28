//! Parser directives: `# syntax=`, `# escape=`, `# check=` in front of everything else.
//!
//! (Dockerfile reference, "Parser directives": they are comments of a form of their own, each at most once, and none
//! after the first line that is none.)

use crate::diagnostic::Diagnostic;
use crate::line::bare;
use crate::span::{Position, Span, Spanned};

/// What the directives of a file say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`: the frontend asked for.
    pub syntax: Option<Spanned<String>>,
    /// `# escape=`: `\` or a backtick.
    pub escape: char,
    /// `# check=`: which checks run.
    pub check: Check,
}

/// `# check=skip=A,B;error=true;experimental=all`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// Checks that do not run.
    pub skip: Vec<String>,
    /// `skip=all`.
    pub skip_all: bool,
    /// A finding fails the build.
    pub error: bool,
    /// Experimental checks that do run.
    pub experimental: Vec<String>,
    /// `experimental=all`.
    pub experimental_all: bool,
}

impl Default for Directives {
    fn default() -> Self {
        Self { syntax: None, escape: '\\', check: Check::default() }
    }
}

impl Check {
    /// Reads the value of `# check=`, or of the build argument `BUILDKIT_DOCKERFILE_CHECK`.
    ///
    /// # Errors
    /// A sentence naming the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut check = Self::default();
        for part in text.trim().split(';').filter(|part| !part.trim().is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("invalid check option {part:?}"))?;
            let names = || value.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
            match key.trim() {
                "skip" if value.trim() == "all" => check.skip_all = true,
                "skip" => check.skip = names().collect(),
                "experimental" if value.trim() == "all" => check.experimental_all = true,
                "experimental" => check.experimental = names().collect(),
                "error" => {
                    check.error = match value.trim() {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        other => return Err(format!("failed to parse check option error={other:?}")),
                    }
                }
                other => return Err(format!("invalid check option {other:?}")),
            }
        }
        Ok(check)
    }
}

/// Reads the directives at the front of `text`.
pub(crate) fn read(text: &str, faults: &mut Vec<Diagnostic>) -> Directives {
    let mut directives = Directives::default();
    let mut seen: Vec<String> = Vec::new();
    for (index, raw) in text.split('\n').enumerate() {
        let line = bare(raw);
        let Some((key, value, at)) = split(line) else { break };
        let span = Span {
            start: Position { line: number(index + 1), column: number(at + 1) },
            end: Position { line: number(index + 1), column: number(line.trim_end().chars().count() + 1) },
        };
        let key = key.to_ascii_lowercase();
        if !matches!(key.as_str(), "syntax" | "escape" | "check") {
            break;
        }
        if seen.contains(&key) {
            faults.push(Diagnostic::error(span, format!("only one {key} parser directive can be used")));
            continue;
        }
        match key.as_str() {
            "syntax" => directives.syntax = Some(Spanned { value: value.to_owned(), span }),
            "escape" if value == "\\" || value == "`" => directives.escape = value.chars().next().unwrap_or('\\'),
            "escape" => {
                let message = format!("invalid escape token '{value}' does not match ` or \\");
                faults.push(Diagnostic::error(span, message));
            }
            _ => match Check::parse(value) {
                Ok(check) => directives.check = check,
                Err(message) => faults.push(Diagnostic::error(span, message)),
            },
        }
        seen.push(key);
    }
    directives
}

/// `# key = value`: key, value, and the value's column from zero.
fn split(line: &str) -> Option<(&str, &str, usize)> {
    let comment = line.trim_start().strip_prefix('#')?;
    let (key, value) = comment.split_once('=')?;
    let key = key.trim();
    let clean = key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.bytes().all(|b| b.is_ascii_alphanumeric());
    let trimmed = value.trim();
    if !clean || trimmed.is_empty() {
        return None;
    }
    let offset = line.len() - value.trim_start().len();
    Some((key, trimmed, line[..offset].chars().count()))
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(text: &str) -> (Directives, Vec<Diagnostic>) {
        let mut faults = Vec::new();
        (read(text, &mut faults), faults)
    }

    #[test]
    fn each_is_read_once_and_only_in_front() {
        let (found, faults) =
            directives("#syntax=docker/dockerfile:1\r\n# Escape = `\n# check=skip=A,B;error=true\nFROM x");
        assert!(faults.is_empty());
        assert_eq!(found.syntax.as_deref(), Some(&"docker/dockerfile:1".to_owned()));
        assert_eq!(found.escape, '`');
        assert_eq!(found.check.skip, ["A", "B"]);
        assert!(found.check.error);
        for late in ["FROM x\n# escape=`", "# words\n# escape=`", "\n# escape=`", "# unknown=1\n# escape=`"] {
            assert_eq!(directives(late).0.escape, '\\', "{late}");
        }
    }

    #[test]
    fn doubles_and_foreign_values_are_refused() {
        assert_eq!(directives("# escape=\\\n# escape=`").1[0].message, "only one escape parser directive can be used");
        assert_eq!(directives("# escape=x").1[0].span.start, Position { line: 1, column: 10 });
        assert!(directives("# check=what=1").1[0].message.contains("what"));
    }
}
