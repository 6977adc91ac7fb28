//! How an instruction's text falls into words: flags first, then words at blanks, or words that heed quotes.

/// A word and the bytes of the logical line it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub text: String,
    pub start: usize,
    pub end: usize,
}

/// Words at blanks; quotes mean nothing here. `base` is where `text` begins in its line.
pub(crate) fn plain(text: &str, base: usize) -> Vec<Word> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, character) in text.char_indices() {
        match (character.is_whitespace(), start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                words.push(Word { text: text[from..at].to_owned(), start: base + from, end: base + at });
                start = None;
            }
            _ => {}
        }
    }
    if let Some(from) = start {
        words.push(Word { text: text[from..].to_owned(), start: base + from, end: base + text.len() });
    }
    words
}

/// Words at blanks outside of quotes; quotes and escapes stay in the words.
pub(crate) fn quoted(text: &str, base: usize, escape: char) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if quote.is_none() && character.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let current = word.get_or_insert_with(|| Word { text: String::new(), start: base + at, end: base + at });
        current.end = base + at + character.len_utf8();
        if character == escape && quote != Some('\'') {
            // An escape at the very end stands for nothing.
            let Some((next_at, next)) = characters.next() else { break };
            current.text.push(character);
            current.text.push(next);
            current.end = base + next_at + next.len_utf8();
            continue;
        }
        match quote {
            Some(open) if open == character => quote = None,
            None if matches!(character, '\'' | '"') => quote = Some(character),
            _ => {}
        }
        current.text.push(character);
    }
    words.extend(word.take());
    words.retain(|word| !word.text.is_empty());
    words
}

/// The flags at the front of an instruction's arguments, and the offset at which the rest begins.
///
/// Flags heed quotes and escapes, and lose them; `--` alone ends them.
pub(crate) fn flags(text: &str, base: usize, escape: char) -> (Vec<Word>, usize) {
    let mut flags = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if !text[at..].starts_with("--") {
            return (flags, at);
        }
        let start = at;
        let mut word = String::new();
        let mut quote: Option<char> = None;
        let mut characters = text[at..].char_indices();
        let mut end = text.len();
        while let Some((offset, character)) = characters.next() {
            match quote {
                None if character.is_whitespace() => {
                    end = start + offset;
                    break;
                }
                None if matches!(character, '\'' | '"') => quote = Some(character),
                Some(open) if open == character => quote = None,
                _ if character == escape => word.extend(characters.next().map(|(_, next)| next)),
                _ => word.push(character),
            }
        }
        at = end;
        if word == "--" {
            at += text[at..].len() - text[at..].trim_start().len();
            return (flags, at);
        }
        flags.push(Word { text: word, start: base + start, end: base + end });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[Word]) -> Vec<&str> {
        words.iter().map(|word| word.text.as_str()).collect()
    }

    #[test]
    fn quotes_hold_words_together_and_stay() {
        let words = quoted(r#"a="b c" d='e f'  g\ h "i\"j k" l\"#, 10, '\\');
        assert_eq!(texts(&words), ["a=\"b c\"", "d='e f'", "g\\ h", "\"i\\\"j k\"", "l"]);
        assert_eq!((words[1].start, words[1].end), (18, 25));
    }

    #[test]
    fn flags_end_at_the_first_word_without_dashes() {
        let text = r#"--mount=type=bind,source="a b" --network=none  echo --x"#;
        let (found, rest) = flags(text, 0, '\\');
        assert_eq!(texts(&found), ["--mount=type=bind,source=a b", "--network=none"]);
        assert_eq!(&text[rest..], "echo --x");
        let (found, rest) = flags("-- --not", 0, '\\');
        assert!(found.is_empty());
        assert_eq!(rest, 3);
        assert_eq!(flags("--only", 0, '\\').1, 6);
        assert_eq!(texts(&plain("  a  'b c' ", 0)), ["a", "'b", "c'"]);
    }
}
