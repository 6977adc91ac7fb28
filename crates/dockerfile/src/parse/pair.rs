//! `ENV`, `LABEL` and `ARG`: names and values.

use super::statement::Statement;
use crate::diagnostic::Diagnostic;
use crate::instruction::{Arg, Command, Pair};
use crate::word::Word;

pub(super) fn env(statement: &Statement<'_>) -> Result<Command, Diagnostic> {
    pairs(statement).map(Command::Env)
}

pub(super) fn label(statement: &Statement<'_>) -> Result<Command, Diagnostic> {
    pairs(statement).map(Command::Label)
}

fn pairs(statement: &Statement<'_>) -> Result<Vec<Pair>, Diagnostic> {
    statement.no_flags()?;
    let words = statement.quoted_words();
    let name = &statement.name;
    let Some(first) = words.first() else {
        return Err(statement.fault(format!("{name} requires at least one argument")));
    };
    if !first.text.contains('=') {
        return legacy(statement).map(|pair| vec![pair]);
    }
    let mut pairs = Vec::with_capacity(words.len());
    for word in words {
        let Some((key, value)) = halves(&word) else {
            let message = format!("Syntax error - can't find = in {:?}. Must be of the form: name=value", word.text);
            return Err(statement.fault_at(&word, message));
        };
        if key.text.is_empty() {
            return Err(statement.fault_at(&word, format!("{name} names can not be blank")));
        }
        pairs.push(Pair { key: statement.spanned(key), value: statement.spanned(value), legacy: false });
    }
    Ok(pairs)
}

/// `KEY value with blanks`.
fn legacy(statement: &Statement<'_>) -> Result<Pair, Diagnostic> {
    let rest = statement.rest();
    let Some(end) = rest.find(char::is_whitespace) else {
        return Err(statement.fault(format!("{} must have two arguments", statement.name)));
    };
    let base = statement.base();
    let value = rest[end..].trim_start();
    let at = base + rest.len() - value.len();
    let key = Word { text: rest[..end].to_owned(), start: base, end: base + end };
    let value = Word { text: value.to_owned(), start: at, end: base + rest.len() };
    Ok(Pair { key: statement.spanned(key), value: statement.spanned(value), legacy: true })
}

pub(super) fn arg(statement: &Statement<'_>) -> Result<Command, Diagnostic> {
    statement.no_flags()?;
    let words = statement.quoted_words();
    if words.is_empty() {
        return Err(statement.fault("ARG requires at least one argument"));
    }
    let mut found = Vec::with_capacity(words.len());
    for word in words {
        let (name, default) = match halves(&word) {
            Some((name, value)) => (name, Some(statement.spanned(value))),
            None => (word.clone(), None),
        };
        if name.text.is_empty() {
            return Err(statement.fault_at(&word, "ARG names can not be blank"));
        }
        found.push(Arg { name: statement.spanned(name), default });
    }
    Ok(Command::Arg(found))
}

/// Both sides of the first `=`, with their places.
fn halves(word: &Word) -> Option<(Word, Word)> {
    let (key, value) = word.text.split_once('=')?;
    let middle = (word.start + key.len()).min(word.end);
    let key = Word { text: key.to_owned(), start: word.start, end: middle };
    let value = Word { text: value.to_owned(), start: (middle + 1).min(word.end), end: word.end };
    Some((key, value))
}
