//! An error or a warning with its place, and how it is shown: the line, and a mark under the columns.

use crate::span::Span;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be built.
    Error,
    /// The file can be built; a check has something to say.
    Warning,
}

/// One finding of the parser or of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The documented name of the check that found it, as in `# check=skip=NAME`; none for errors of syntax.
    pub rule: Option<&'static str>,
    /// What is wrong, one line.
    pub message: String,
    /// Where.
    pub span: Span,
}

/// The widest piece of a line that is shown, in characters.
const SHOWN: usize = 160;

impl Diagnostic {
    /// An error of syntax at a place.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, rule: None, message: message.into(), span }
    }

    /// A finding of the check `rule`.
    pub fn warning(rule: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, rule: Some(rule), message: message.into(), span }
    }

    /// `name:line:column: message`, then the line of `text` with a mark under the columns meant.
    #[must_use]
    pub fn render(&self, name: &str, text: &str) -> String {
        use std::fmt::Write as _;
        let start = self.span.start;
        let rule = self.rule.map(|rule| format!("{rule}: ")).unwrap_or_default();
        let word = if self.severity == Severity::Warning { "warning: " } else { "" };
        let mut out = format!("{name}:{}:{}: {word}{rule}{}", start.line, start.column, self.message);
        let Some(line) = text.split('\n').nth((start.line as usize).saturating_sub(1)) else { return out };
        let characters: Vec<char> = line.trim_end_matches('\r').chars().collect();
        let from = (start.column as usize).saturating_sub(1).min(characters.len());
        let to = match self.span.end {
            end if end.line == start.line => (end.column as usize).saturating_sub(1),
            _ => characters.len(),
        };
        let to = to.clamp(from, characters.len());
        let left = if from > SHOWN / 2 && characters.len() > SHOWN { from - SHOWN / 2 } else { 0 };
        let right = characters.len().min(left + SHOWN);
        let shown: String = characters[left..right].iter().map(|c| visible(*c)).collect();
        let gutter = start.line.to_string();
        let mark = "^".repeat(to.min(right).saturating_sub(from).max(1));
        let pad = " ".repeat(from - left);
        let blank = " ".repeat(gutter.len());
        let _ = write!(out, "\n {gutter} | {shown}\n {blank} | {pad}{mark}");
        out
    }
}

/// A terminal must not obey what a Dockerfile says.
fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "dockerfile parse error on line {}: {}", self.span.start.line, self.message)
    }
}

impl std::error::Error for Diagnostic {}

impl berth_kit::Kinded for Diagnostic {
    fn kind(&self) -> berth_kit::Kind {
        berth_kit::Kind::Invalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Position;

    fn span(line: u32, from: u32, to: u32) -> Span {
        Span { start: Position { line, column: from }, end: Position { line, column: to } }
    }

    #[test]
    fn the_line_is_shown_with_a_mark() {
        let shown =
            Diagnostic::error(span(2, 1, 4), "unknown instruction: FOO").render("Dockerfile", "FROM x\nFOO bar\n");
        assert_eq!(shown, "Dockerfile:2:1: unknown instruction: FOO\n 2 | FOO bar\n   | ^^^");
    }

    #[test]
    fn long_lines_and_control_characters_are_tamed() {
        let text = format!("{}\u{1b}[31mX", "a".repeat(5000));
        let shown = Diagnostic::error(span(1, 5001, 5002), "odd").render("f", &text);
        assert!(shown.len() < 600, "{}", shown.len());
        assert!(!shown.contains('\u{1b}'));
        assert_eq!(Diagnostic::error(span(99, 7, 2), "beyond").render("f", &text), "f:99:7: beyond");
    }
}
