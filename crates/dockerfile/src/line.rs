//! Lines of the file joined into logical lines: continuations, comments, blank lines.
//!
//! A logical line remembers for each of its pieces where in the file it came from, so that any byte of it has a
//! line and a column. (Reference: docs.docker.com, Dockerfile reference, "Format" and "escape".)

use crate::diagnostic::Diagnostic;
use crate::limit;
use crate::span::{Position, Span, Spanned};

/// An instruction's text with its lines joined.
#[derive(Debug, Clone, Default)]
pub(crate) struct Logical {
    /// The text, no newline in it, leading blanks gone.
    pub text: String,
    pieces: Vec<Piece>,
    /// The comment lines right above, without `#` and blanks.
    pub comments: Vec<String>,
    /// Blank lines inside of the continuation.
    pub blanks: Vec<u32>,
    /// The last line that belongs to it.
    pub last_line: u32,
}

#[derive(Debug, Clone)]
struct Piece {
    offset: usize,
    line: u32,
    column: u32,
}

impl Logical {
    /// A line that stands alone, as a trigger of a base image does.
    pub fn alone(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            pieces: vec![Piece { offset: 0, line: 1, column: 1 }],
            last_line: 1,
            ..Self::default()
        }
    }

    /// Where the byte at `offset` stands in the file.
    pub fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let index = self.pieces.partition_point(|piece| piece.offset <= offset).saturating_sub(1);
        let Some(piece) = self.pieces.get(index) else { return Position { line: 1, column: 1 } };
        let characters = self.text.get(piece.offset..offset).map_or(0, |text| text.chars().count());
        Position { line: piece.line, column: piece.column + u32::try_from(characters).unwrap_or(u32::MAX / 2) }
    }

    /// Where the bytes from `start` to `end` stand. A word that ends with its line ends on that line.
    pub fn span(&self, start: usize, end: usize) -> Span {
        let last = self.text[..end.min(self.text.len())].char_indices().next_back().map_or(0, |(at, _)| at);
        let end = match end > start {
            true => {
                let position = self.position(last);
                Position { line: position.line, column: position.column + 1 }
            }
            false => self.position(end),
        };
        Span { start: self.position(start), end }
    }

    /// The whole line.
    pub fn whole(&self) -> Span {
        self.span(0, self.text.trim_end().len())
    }

    pub fn spanned(&self, start: usize, end: usize, value: String) -> Spanned<String> {
        Spanned { value, span: self.span(start, end) }
    }
}

/// The file, read line by line.
pub(crate) struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
    /// The character that joins lines.
    pub escape: char,
}

impl<'a> Reader<'a> {
    /// `text` without its byte order mark.
    pub fn new(text: &'a str, escape: char) -> Self {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        Self { lines, at: 0, escape }
    }

    /// The next instruction's text, or none at the end.
    ///
    /// # Errors
    /// A [`Diagnostic`] for an instruction beyond [`limit::INSTRUCTION_BYTES`].
    pub fn next_logical(&mut self) -> Result<Option<Logical>, Diagnostic> {
        let mut logical = Logical::default();
        while let Some(raw) = self.lines.get(self.at) {
            let line = bare(raw);
            let trimmed = line.trim_start();
            if let Some(comment) = trimmed.strip_prefix('#') {
                logical.comments.push(comment.trim().to_owned());
            } else if trimmed.is_empty() {
                logical.comments.clear();
            } else {
                self.join(&mut logical)?;
                return Ok(Some(logical));
            }
            self.at += 1;
        }
        Ok(None)
    }

    fn join(&mut self, logical: &mut Logical) -> Result<(), Diagnostic> {
        let mut first = true;
        while let Some(raw) = self.lines.get(self.at) {
            let number = u32::try_from(self.at + 1).unwrap_or(u32::MAX);
            self.at += 1;
            let line = bare(raw);
            let trimmed = line.trim_start();
            if !first && trimmed.starts_with('#') {
                continue;
            }
            if !first && trimmed.is_empty() {
                logical.blanks.push(number);
                continue;
            }
            let (kept, column) = match first {
                true => (trimmed, 1 + line[..line.len() - trimmed.len()].chars().count()),
                false => (line, 1),
            };
            first = false;
            let (kept, more) = self.continued(kept);
            let column = u32::try_from(column).unwrap_or(u32::MAX / 2);
            logical.pieces.push(Piece { offset: logical.text.len(), line: number, column });
            logical.text.push_str(kept);
            logical.last_line = number;
            if logical.text.len() > limit::INSTRUCTION_BYTES {
                let message = format!("instruction is longer than {} bytes", limit::INSTRUCTION_BYTES);
                let start = logical.position(0);
                return Err(Diagnostic::error(Span { start, end: start }, message));
            }
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// The line without its joining character, and whether it had one. A doubled one joins nothing.
    fn continued<'b>(&self, line: &'b str) -> (&'b str, bool) {
        let trimmed = line.trim_end_matches([' ', '\t']);
        match trimmed.strip_suffix(self.escape) {
            Some(kept) if !kept.ends_with(self.escape) => (kept, true),
            _ => (line, false),
        }
    }

    /// The next line of a heredoc as it stands in the file, newline included.
    pub fn raw_line(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.at)?;
        self.at += 1;
        Some(line)
    }

    /// The number of the line read last.
    pub fn line_number(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }
}

/// A line without its newline.
pub(crate) fn bare(line: &str) -> &str {
    line.trim_end_matches('\n').trim_end_matches('\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, escape: char) -> Vec<Logical> {
        let mut reader = Reader::new(text, escape);
        let mut found = Vec::new();
        while let Some(logical) = reader.next_logical().expect("no limit is near") {
            found.push(logical);
        }
        found
    }

    #[test]
    fn continuations_skip_comments_and_blank_lines() {
        let found = all("RUN a && \\\n  # why\n\n  b \\  \n c\nRUN d\\\\\nRUN e", '\\');
        let texts: Vec<&str> = found.iter().map(|logical| logical.text.as_str()).collect();
        assert_eq!(texts, ["RUN a &&   b  c", "RUN d\\\\", "RUN e"]);
        assert_eq!(found[0].blanks, [3]);
        let b = found[0].text.find('b').expect("b stands there");
        assert_eq!(found[0].position(b), Position { line: 4, column: 3 });
    }

    #[test]
    fn comments_above_belong_to_the_instruction() {
        let found = all("# far\n\n# near\r\n#  two \r\nFROM x\r\n", '\\');
        assert_eq!(found[0].comments, ["near", "two"]);
        assert_eq!(found[0].text, "FROM x");
    }

    #[test]
    fn the_escape_may_be_a_backtick() {
        let found = all("RUN dir c:\\\nRUN a `\n b", '`');
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].text, "RUN a  b");
    }
}
