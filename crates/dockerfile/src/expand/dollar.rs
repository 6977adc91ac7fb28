//! What follows a `$`.

use super::{Lexer, glob};
use crate::error::Error;
use crate::limit;

impl Lexer<'_> {
    /// Reads a variable behind its `$` and gives its value.
    pub(super) fn dollar(&mut self) -> Result<String, Error> {
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(self.plain(&name));
        }
        self.at += 1;
        self.depth += 1;
        if self.depth > limit::EXPANSION_DEPTH {
            return Err(Error::Limit("nests too deep"));
        }
        let value = self.braced();
        self.depth -= 1;
        value
    }

    fn braced(&mut self) -> Result<String, Error> {
        match self.peek() {
            None => return Err(Error::Unclosed("}")),
            Some('{' | '}' | ':') => return Err(Error::BadSubstitution),
            _ => {}
        }
        let name = self.name();
        if name.is_empty() {
            return Err(Error::BadSubstitution);
        }
        match self.next() {
            None => Err(Error::Unclosed("}")),
            Some('}') => Ok(self.plain(&name)),
            Some(':') => match self.next() {
                Some(modifier @ ('-' | '+' | '?')) => self.choose(&name, modifier, true),
                Some(other) => Err(Error::Modifier(format!(":{other}"))),
                None => Err(Error::Unclosed("}")),
            },
            Some(modifier @ ('-' | '+' | '?')) => self.choose(&name, modifier, false),
            Some(side @ ('#' | '%')) => self.trim(&name, side),
            Some('/') => self.replace(&name),
            Some(other) => Err(Error::Modifier(other.to_string())),
        }
    }

    /// The name at this place: letters, digits and `_`, or one of the shell's own of one character, or a number.
    fn name(&mut self) -> String {
        let start = self.at;
        match self.peek() {
            Some(first) if first.is_ascii_digit() => {
                while self.peek().is_some_and(|c| c.is_ascii_digit()) {
                    self.at += 1;
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => self.at += 1,
            _ => {
                while self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    self.at += 1;
                }
            }
        }
        self.characters[start..self.at].iter().collect()
    }

    fn plain(&mut self, name: &str) -> String {
        match self.variables.value(name) {
            Some(value) => {
                note(&mut self.matched, name);
                value
            }
            None => {
                note(&mut self.unmatched, name);
                String::new()
            }
        }
    }

    /// `-`, `+`, `?`; with a colon an empty value counts as none.
    fn choose(&mut self, name: &str, modifier: char, empty_is_unset: bool) -> Result<String, Error> {
        // What stands behind the modifier may use variables that do not matter.
        let unmatched = self.unmatched.len();
        let word = self.until(Some('}'), false)?;
        let value = self.variables.value(name);
        let set = value.is_some();
        let value = value.filter(|value| !(empty_is_unset && value.is_empty()));
        if value.is_some() {
            note(&mut self.matched, name);
        }
        let uses_word = matches!((modifier, &value), ('-', None) | ('+', Some(_)));
        if !uses_word {
            self.unmatched.truncate(unmatched);
        }
        match (modifier, value) {
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            ('-', None) => Ok(word),
            (_, None) => {
                let reason = if set { "is not allowed to be empty" } else { "is not allowed to be unset" };
                let message = if word.is_empty() { reason.to_owned() } else { word };
                Err(Error::Required { name: name.to_owned(), message })
            }
        }
    }

    /// `#`, `##`, `%`, `%%`: the shortest or longest start or end that a pattern matches goes away.
    fn trim(&mut self, name: &str, side: char) -> Result<String, Error> {
        let longest = self.peek() == Some(side);
        if longest {
            self.at += 1;
        }
        let pattern = self.until(Some('}'), true)?;
        let value: Vec<char> = self.plain(name).chars().collect();
        let pattern = glob::Pattern::new(&pattern, self.escape);
        let kept = match side {
            '#' => &value[pattern.prefix(&value, longest)?.unwrap_or(0)..],
            _ => &value[..value.len() - pattern.suffix(&value, longest)?.unwrap_or(0)],
        };
        Ok(kept.iter().collect())
    }

    /// `/old/new` replaces the first, `//old/new` all.
    fn replace(&mut self, name: &str) -> Result<String, Error> {
        let all = self.peek() == Some('/');
        if all {
            self.at += 1;
        }
        let pattern = self.until(Some('/'), true)?;
        let replacement = self.until(Some('}'), false)?;
        let value: Vec<char> = self.plain(name).chars().collect();
        glob::Pattern::new(&pattern, self.escape).replace(&value, &replacement, all)
    }
}

fn note(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}
