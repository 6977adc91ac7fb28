//! A Rust file, read as far as the rules need it: lines, and lines with comments and literals blanked out.
//!
//! The scanner knows line and nested block comments, strings, raw strings, byte strings, character literals and
//! lifetimes. It keeps every newline, so line numbers in the blanked text are those of the file.

/// One Rust file.
pub struct Source {
    /// Path from the workspace's root.
    pub path: String,
    pub lines: Vec<String>,
    /// `lines` with the text of comments, strings and characters replaced by blanks.
    pub code: Vec<String>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        Source {
            path: path.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            code: code.lines().map(str::to_owned).collect(),
        }
    }

    /// Lines before the unit tests, which stand last in a file.
    pub fn lines_before_tests(&self) -> usize {
        self.lines.iter().position(|line| line.starts_with("#[cfg(test)]")).unwrap_or(self.lines.len())
    }
}

/// Whether `word` stands in `line` with no identifier character on either side.
pub fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(is_part)
            && !line[at + word.len()..].chars().next().is_some_and(is_part)
    })
}

/// Replaces comments and literals by blanks of the same count of characters; newlines stay.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Index after the comment or literal that begins at `at`; `at` itself when code stands there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied();
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if next(1) == Some('/') => until(chars, at, |c| c == '\n'),
        '/' if next(1) == Some('*') => block_comment_end(chars, at),
        '"' => string_end(chars, at + 1),
        'r' | 'b' | 'c' if !in_word => prefixed_end(chars, at),
        '\'' => char_end(chars, at),
        _ => at,
    }
}

fn until(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    chars[from..].iter().position(|&c| stop(c)).map_or(chars.len(), |n| from + n)
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut here) = (0, at);
    while here < chars.len() {
        match (chars[here], chars.get(here + 1)) {
            ('/', Some('*')) => (depth, here) = (depth + 1, here + 2),
            ('*', Some('/')) => (depth, here) = (depth - 1, here + 2),
            _ => here += 1,
        }
        if depth == 0 {
            break;
        }
    }
    here.min(chars.len())
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `b"…"`, `c"…"`, `r"…"`, `br#"…"#` and `b'…'`; anything else that begins with these letters is a word.
fn prefixed_end(chars: &[char], at: usize) -> usize {
    let mut here = at;
    while here < chars.len() && here < at + 2 && matches!(chars[here], 'r' | 'b' | 'c') {
        here += 1;
    }
    let raw = chars[at..here].contains(&'r');
    let hashes = if raw { chars[here..].iter().take_while(|&&c| c == '#').count() } else { 0 };
    match chars.get(here + hashes) {
        Some('"') if raw => raw_string_end(chars, here + hashes + 1, hashes),
        Some('"') => string_end(chars, here + 1),
        Some('\'') if !raw && here == at + 1 => char_end(chars, here),
        _ => at,
    }
}

fn raw_string_end(chars: &[char], mut at: usize, hashes: usize) -> usize {
    while at < chars.len() {
        if chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    chars.len()
}

/// The end of a character literal; `at` when the quote begins a lifetime or a label.
fn char_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => until(chars, (at + 3).min(chars.len()), |c| c == '\'').saturating_add(1).min(chars.len()),
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_comments_and_literals_and_keeps_code_and_lines() {
        let text = "let a = \"x{\"; // {\nlet b = r#\"\"{\"#; /* { /* */ { */ let c = '{'; fn f<'a>(x: &'a str) {}\nb'\\''; b\"{\"; rate";
        let code = blank(text);
        assert_eq!(code.matches('{').count(), 1, "{code}");
        assert_eq!(code.lines().count(), text.lines().count());
        assert!(code.contains("fn f<'a>(x: &'a str) {}") && code.contains("rate"), "{code}");
    }

    #[test]
    fn words_end_at_identifier_characters() {
        assert!(has_word("unsafe {", "unsafe"));
        assert!(!has_word("deny(unsafe_code)", "unsafe"));
    }
}
