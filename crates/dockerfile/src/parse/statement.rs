//! One instruction before its arguments are read: keyword, flags, and the rest.

use crate::diagnostic::Diagnostic;
use crate::heredoc::Heredoc;
use crate::limit;
use crate::line::{Logical, Reader, bare};
use crate::span::{Position, Span, Spanned};
use crate::word::{self, Word};

/// The instructions, for suggestions.
const NAMES: &[&str] = &[
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

pub(super) struct Statement<'a> {
    pub logical: &'a Logical,
    pub escape: char,
    /// The keyword as written.
    pub keyword: String,
    /// The keyword in capitals.
    pub name: String,
    start: usize,
    flags: Vec<Word>,
    rest: usize,
}

impl<'a> Statement<'a> {
    /// Splits keyword and flags from the rest.
    pub fn split(logical: &'a Logical, escape: char) -> Result<Self, Diagnostic> {
        Ok(Self::split_at(logical, escape, 0))
    }

    fn split_at(logical: &'a Logical, escape: char, start: usize) -> Self {
        let text = logical.text.trim_end();
        let start = start.min(text.len());
        let start = start + (text[start..].len() - text[start..].trim_start().len());
        let end = text[start..].find(char::is_whitespace).map_or(text.len(), |at| start + at);
        let keyword = text[start..end].to_owned();
        let name = keyword.to_ascii_uppercase();
        let (flags, rest) = match takes_flags(&name) {
            true => word::flags(&text[end..], end, escape),
            false => (Vec::new(), text[end..].len() - text[end..].trim_start().len()),
        };
        Self { logical, escape, keyword, name, start, flags, rest: end + rest }
    }

    /// The instruction that follows an `ONBUILD`.
    pub fn below(&self) -> Self {
        Self::split_at(self.logical, self.escape, self.rest)
    }

    /// The instruction's text.
    pub fn text(&self) -> &'a str {
        self.logical.text[self.start..].trim_end()
    }

    /// What follows keyword and flags, without blanks around it.
    pub fn rest(&self) -> &'a str {
        self.logical.text[self.rest..].trim_end()
    }

    /// Where the rest begins in the logical line.
    pub fn base(&self) -> usize {
        self.rest
    }

    pub fn plain_words(&self) -> Vec<Word> {
        word::plain(self.rest(), self.rest)
    }

    pub fn quoted_words(&self) -> Vec<Word> {
        word::quoted(self.rest(), self.rest, self.escape)
    }

    pub fn spanned(&self, word: Word) -> Spanned<String> {
        Spanned { span: self.logical.span(word.start, word.end), value: word.text }
    }

    /// The whole rest as one word.
    pub fn whole_rest(&self) -> Spanned<String> {
        let rest = self.rest();
        self.logical.spanned(self.rest, self.rest + rest.len(), rest.to_owned())
    }

    pub fn fault(&self, message: impl Into<String>) -> Diagnostic {
        let end = self.start + self.text().len();
        Diagnostic::error(self.logical.span(self.start, end), message)
    }

    pub fn fault_at(&self, word: &Word, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.logical.span(word.start, word.end), message)
    }

    pub fn unknown(&self) -> Diagnostic {
        let span = self.logical.span(self.start, self.start + self.keyword.len());
        let hint = nearest(&self.name, NAMES).map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
        Diagnostic::error(span, format!("unknown instruction: {}{hint}", self.keyword))
    }

    pub fn no_flags(&self) -> Result<(), Diagnostic> {
        self.each_flag(&[], &[], |_, _| Ok(()))
    }

    /// Hands each flag to `set` as name and value (none for a bare one).
    ///
    /// Flags in `bare` may stand without a value; flags that end with `*` in `known` may come several times.
    pub fn each_flag(
        &self,
        known: &[&str],
        bare: &[&str],
        mut set: impl FnMut(&str, Spanned<String>) -> Result<(), String>,
    ) -> Result<(), Diagnostic> {
        let mut seen: Vec<&str> = Vec::new();
        for word in &self.flags {
            let text = word.text.trim_start_matches("--");
            let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
            let many = known.iter().any(|known| known.strip_suffix('*') == Some(name));
            if !many && !known.contains(&name) && !bare.contains(&name) {
                let names: Vec<&str> = known.iter().chain(bare).map(|name| name.trim_end_matches('*')).collect();
                let hint = nearest(name, &names).map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
                return Err(self.fault_at(word, format!("unknown flag: --{name}{hint}")));
            }
            if !many && seen.contains(&name) {
                return Err(self.fault_at(word, format!("duplicate flag specified: {name}")));
            }
            seen.push(name);
            let value = match value {
                Some(value) => value.to_owned(),
                None if bare.contains(&name) => "true".to_owned(),
                None => return Err(self.fault_at(word, format!("missing a value on flag: {name}"))),
            };
            let spanned = Spanned { value, span: self.logical.span(word.start, word.end) };
            set(name, spanned).map_err(|message| self.fault_at(word, message))?;
        }
        Ok(())
    }

    /// Reads the heredocs that `openings` promise from the lines behind the instruction.
    pub fn read_heredocs(&self, openings: Vec<Heredoc>, reader: &mut Reader<'_>) -> Result<Vec<Heredoc>, Diagnostic> {
        if openings.len() > limit::HEREDOCS {
            return Err(self.fault(format!("more than {} heredocs", limit::HEREDOCS)));
        }
        let mut found = Vec::with_capacity(openings.len());
        for mut heredoc in openings {
            let start = Position { line: reader.line_number() + 1, column: 1 };
            loop {
                let Some(line) = reader.raw_line() else {
                    return Err(self.fault(format!("unterminated heredoc: no line {}", heredoc.name)));
                };
                let ending = match heredoc.chomp {
                    true => bare(line).trim_start_matches('\t'),
                    false => bare(line),
                };
                if ending == heredoc.name {
                    break;
                }
                heredoc.content.push_str(line);
            }
            heredoc.span = Span { start, end: Position { line: reader.line_number(), column: 1 } };
            found.push(heredoc);
        }
        Ok(found)
    }
}

/// Only these have flags; elsewhere `--x` is an ordinary word. The reference gives all others none, and refuses them.
fn takes_flags(name: &str) -> bool {
    NAMES.contains(&name)
}

/// `true` or `false` of a flag that may stand bare.
pub(super) fn boolean(name: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("expecting boolean value for flag {name}, not: {value}")),
    }
}

/// The name that differs by at most two letters, and by less than half of them, if one does.
fn nearest<'n>(word: &str, names: &[&'n str]) -> Option<&'n str> {
    let scored = names.iter().map(|name| (distance(word, name), *name));
    scored.filter(|(score, name)| *score <= 2 && score * 2 < name.len()).min().map(|(_, name)| name)
}

/// Edits between two words, neighbours swapped being one; long words are simply far.
pub(crate) fn distance(left: &str, right: &str) -> usize {
    const LONGEST: usize = 64;
    if left.len() > LONGEST || right.len() > LONGEST {
        return LONGEST;
    }
    let left: Vec<char> = left.chars().flat_map(char::to_lowercase).collect();
    let right: Vec<char> = right.chars().flat_map(char::to_lowercase).collect();
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            rows[i][j] = match (i, j) {
                (0, edits) | (edits, 0) => edits,
                _ => {
                    let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
                    let swapped = i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
                    let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                    replaced.min(swap).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
                }
            };
        }
    }
    rows[left.len()][right.len()]
}
