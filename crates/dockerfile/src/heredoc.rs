//! Heredocs: `<<EOF`, `<<-EOF`, `<<"EOF"`, several to an instruction.

use crate::span::Span;

/// A file written inside of the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it, without quotes; `COPY` calls the file so.
    pub name: String,
    /// The file descriptor in front of `<<`, none for the usual one.
    pub descriptor: Option<u32>,
    /// Variables in it are expanded: its word stood without quotes.
    pub expand: bool,
    /// `<<-`: tabs at the front of its lines go away.
    pub chomp: bool,
    /// The lines between, each with its newline, as they stand in the file.
    pub content: String,
    /// Where the content stands.
    pub span: Span,
}

impl Heredoc {
    /// The content without leading tabs where `<<-` asks for that.
    #[must_use]
    pub fn chomped(&self) -> String {
        match self.chomp {
            true => self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect(),
            false => self.content.clone(),
        }
    }
}

/// What a word says about a heredoc; none when the word is none.
pub(crate) fn opening(word: &str) -> Option<Heredoc> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = word[digits..].strip_prefix("<<")?;
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.contains('<') {
        return None;
    }
    let (name, expand) = unquoted(rest)?;
    let descriptor = match digits {
        0 => None,
        _ => Some(word[..digits].parse().ok()?),
    };
    Some(Heredoc { name, descriptor, expand, chomp, content: String::new(), span: Span::default() })
}

/// The word without its quotes and escapes, and whether it had none. A heredoc has one word, never an empty one.
fn unquoted(word: &str) -> Option<(String, bool)> {
    let mut name = String::new();
    let mut quote: Option<char> = None;
    let mut characters = word.chars();
    let mut plain = true;
    while let Some(character) = characters.next() {
        match quote {
            Some(open) if open == character => quote = None,
            None if matches!(character, '\'' | '"') => {
                plain = false;
                quote = Some(character);
            }
            None if character.is_whitespace() => return None,
            _ if character == '\\' && quote != Some('\'') => {
                plain = false;
                name.push(characters.next()?);
            }
            _ => name.push(character),
        }
    }
    (quote.is_none() && !name.is_empty()).then_some((name, plain))
}

/// The words of a shell line that open heredocs: at blanks, but not inside quotes.
pub(crate) fn openings(text: &str, escape: char) -> Vec<Heredoc> {
    if !text.contains("<<") {
        return Vec::new();
    }
    crate::word::quoted(text, 0, escape).iter().filter_map(|word| opening(&word.text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_stop_expansion_and_dashes_chomp() {
        let found = openings(r#"cat <<A 3<<-"B C" '<<no' <<\D x<<y <<"#, '\\');
        let seen: Vec<_> = found.iter().map(|h| (h.name.as_str(), h.descriptor, h.expand, h.chomp)).collect();
        assert_eq!(seen, [("A", None, true, false), ("B C", Some(3), false, true), ("D", None, false, false)]);
        let chomped = Heredoc { content: "\t\ta\n\tb\n c\n".into(), ..found[1].clone() };
        assert_eq!(chomped.chomped(), "a\nb\n c\n");
        assert!(opening("99999999999999<<A").is_none());
    }
}
