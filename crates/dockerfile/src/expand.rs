//! Variables in words: `$a`, `${a}`, and the modifiers `:-` `:+` `:?` `-` `+` `?` `#` `##` `%` `%%` `/` `//`.
//!
//! Quotes go away as a shell's would: single quotes keep all, double quotes expand. (Dockerfile reference,
//! "Environment replacement".)
//!
//! ```
//! use berth_dockerfile::expand;
//! let value = |name: &str| (name == "tag").then(|| "v1.2.3".to_owned());
//! assert_eq!(expand::word("x-${tag#v}'$tag'", '\\', &value).unwrap().value, "x-1.2.3$tag");
//! ```

mod dollar;
mod glob;

use crate::error::Error;
use crate::limit;

/// Where variables get their values.
pub trait Variables {
    /// The value of `name`, none when it is unset.
    fn value(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Variables for F {
    fn value(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// What became of a word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text, quotes gone.
    pub value: String,
    /// Variables that were used, had no value, and had no modifier to say what then.
    pub unmatched: Vec<String>,
    /// Variables that had one and were used.
    pub matched: Vec<String>,
}

/// Expands one word: quotes and escapes go away.
///
/// # Errors
/// [`Error`] for what is no proper word, a `?` without a value, or a limit.
pub fn word(text: &str, escape: char, variables: &dyn Variables) -> Result<Expanded, Error> {
    run(text, escape, variables, true).map(|(expanded, _)| expanded)
}

/// Expands text in which quotes mean nothing: the content of a heredoc.
///
/// # Errors
/// As [`word`].
pub fn raw(text: &str, variables: &dyn Variables) -> Result<Expanded, Error> {
    run(text, '\\', variables, false).map(|(expanded, _)| expanded)
}

/// Expands a word that may become several: at blanks outside of quotes, those of values included. `EXPOSE` does this.
///
/// # Errors
/// As [`word`].
pub fn words(text: &str, escape: char, variables: &dyn Variables) -> Result<Vec<String>, Error> {
    run(text, escape, variables, true).map(|(_, words)| words)
}

fn run(text: &str, escape: char, variables: &dyn Variables, quotes: bool) -> Result<(Expanded, Vec<String>), Error> {
    let mut lexer = Lexer {
        characters: text.chars().collect(),
        at: 0,
        escape,
        variables,
        quotes,
        unmatched: Vec::new(),
        matched: Vec::new(),
        depth: 0,
        words: Words::default(),
    };
    let value = lexer.until(None, false)?;
    let words = lexer.words.finish();
    Ok((Expanded { value, unmatched: lexer.unmatched, matched: lexer.matched }, words))
}

struct Lexer<'v> {
    characters: Vec<char>,
    at: usize,
    escape: char,
    variables: &'v dyn Variables,
    quotes: bool,
    unmatched: Vec<String>,
    matched: Vec<String>,
    depth: usize,
    words: Words,
}

/// The same text, split at blanks.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
    open: bool,
}

impl Words {
    fn push(&mut self, character: char) {
        match character.is_whitespace() {
            true => self.end(),
            false => self.keep(character),
        }
    }

    fn keep(&mut self, character: char) {
        self.open = true;
        self.current.push(character);
    }

    fn end(&mut self) {
        if self.open {
            self.done.push(std::mem::take(&mut self.current));
        }
        self.open = false;
    }

    fn finish(&mut self) -> Vec<String> {
        self.end();
        std::mem::take(&mut self.done)
    }
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += 1;
        Some(character)
    }

    /// Reads up to `stop`, or to the end when there is none. `keep_escapes` leaves them for a pattern to see.
    fn until(&mut self, stop: Option<char>, keep_escapes: bool) -> Result<String, Error> {
        let mut out = String::new();
        while let Some(character) = self.next() {
            if Some(character) == stop {
                return Ok(out);
            }
            match character {
                '\'' if self.quotes => self.single_quoted(&mut out)?,
                '"' if self.quotes => self.double_quoted(&mut out)?,
                '$' => {
                    let value = self.dollar()?;
                    self.split_value(&value);
                    out.push_str(&value);
                }
                _ if character == self.escape => {
                    if keep_escapes {
                        out.push(character);
                    }
                    if let Some(next) = self.next() {
                        self.keep_outside(next);
                        out.push(next);
                    }
                }
                _ => {
                    if self.depth == 0 {
                        self.words.push(character);
                    }
                    out.push(character);
                }
            }
            if out.len() > limit::EXPANDED_BYTES {
                return Err(Error::Limit("grows too large"));
            }
        }
        match stop {
            None => Ok(out),
            Some('/') => Err(Error::Unclosed("/")),
            Some(_) => Err(Error::Unclosed("}")),
        }
    }

    /// A value outside of quotes falls into words at its blanks.
    fn split_value(&mut self, value: &str) {
        if self.depth == 0 {
            value.chars().for_each(|character| self.words.push(character));
        }
    }

    fn keep_outside(&mut self, character: char) {
        if self.depth == 0 {
            self.words.keep(character);
        }
    }

    fn single_quoted(&mut self, out: &mut String) -> Result<(), Error> {
        if self.depth == 0 {
            self.words.open = true;
        }
        loop {
            match self.next() {
                None => return Err(Error::Unclosed("single-quote")),
                Some('\'') => return Ok(()),
                Some(character) => {
                    self.keep_outside(character);
                    out.push(character);
                }
            }
        }
    }

    fn double_quoted(&mut self, out: &mut String) -> Result<(), Error> {
        if self.depth == 0 {
            self.words.open = true;
        }
        loop {
            match self.next() {
                None => return Err(Error::Unclosed("double-quote")),
                Some('"') => return Ok(()),
                Some('$') => {
                    let value = self.dollar()?;
                    value.chars().for_each(|character| self.keep_outside(character));
                    out.push_str(&value);
                    if out.len() > limit::EXPANDED_BYTES {
                        return Err(Error::Limit("grows too large"));
                    }
                }
                Some(character) if character == self.escape => match self.peek() {
                    None => return Err(Error::Unclosed("double-quote")),
                    Some(next) if next == '"' || next == '$' || next == self.escape => {
                        self.at += 1;
                        self.keep_outside(next);
                        out.push(next);
                    }
                    Some(_) => {
                        self.keep_outside(character);
                        out.push(character);
                    }
                },
                Some(character) => {
                    self.keep_outside(character);
                    out.push(character);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
