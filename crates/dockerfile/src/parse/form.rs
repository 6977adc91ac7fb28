//! Command lines as JSON or for the shell, and instructions of one argument or of plain words.

use super::statement::Statement;
use crate::diagnostic::Diagnostic;
use crate::instruction::{Command, Form};
use crate::span::Spanned;

/// The rest as a JSON array of strings; none when it is no JSON array at all.
///
/// # Errors
/// An array that holds something else than strings.
pub(super) fn json(statement: &Statement<'_>) -> Result<Option<Vec<String>>, Diagnostic> {
    let rest = statement.rest();
    if !rest.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(rest) else { return Ok(None) };
    let words = values.into_iter().map(|value| match value {
        serde_json::Value::String(word) => Some(word),
        _ => None,
    });
    let words: Option<Vec<String>> = words.collect();
    let message = "when using JSON array syntax, arrays must be comprised of strings only";
    words.map(Some).ok_or_else(|| statement.fault(message))
}

/// A command line in either form.
pub(super) fn form(statement: &Statement<'_>) -> Result<Form, Diagnostic> {
    Ok(json(statement)?.map_or_else(|| Form::Shell(statement.rest().to_owned()), Form::Exec))
}

/// `CMD` and `ENTRYPOINT`: an empty one clears what the base image has.
pub(super) fn command(statement: &Statement<'_>) -> Result<Form, Diagnostic> {
    statement.no_flags()?;
    match statement.rest().is_empty() {
        true => Ok(Form::Exec(Vec::new())),
        false => form(statement),
    }
}

pub(super) fn shell(statement: &Statement<'_>) -> Result<Command, Diagnostic> {
    statement.no_flags()?;
    match json(statement)? {
        Some(words) if !words.is_empty() => Ok(Command::Shell(words)),
        Some(_) => Err(statement.fault("SHELL requires at least one argument")),
        None if statement.rest().is_empty() => Err(statement.fault("SHELL requires at least one argument")),
        None => Err(statement.fault("SHELL requires the arguments to be in JSON form")),
    }
}

/// An instruction whose whole rest is its argument.
pub(super) fn single(statement: &Statement<'_>) -> Result<Spanned<String>, Diagnostic> {
    statement.no_flags()?;
    match statement.rest().is_empty() {
        true => Err(statement.fault(format!("{} requires exactly one argument", statement.name))),
        false => Ok(statement.whole_rest()),
    }
}

pub(super) fn expose(statement: &Statement<'_>) -> Result<Command, Diagnostic> {
    statement.no_flags()?;
    let words = statement.plain_words();
    match words.is_empty() {
        true => Err(statement.fault("EXPOSE requires at least one argument")),
        false => Ok(Command::Expose(words.into_iter().map(|word| statement.spanned(word)).collect())),
    }
}

pub(super) fn volume(statement: &Statement<'_>) -> Result<Command, Diagnostic> {
    statement.no_flags()?;
    let words = json_or_words(statement)?;
    if words.is_empty() {
        return Err(statement.fault("VOLUME requires at least one argument"));
    }
    if let Some(empty) = words.iter().find(|word| word.trim().is_empty()) {
        return Err(Diagnostic::error(empty.span, "VOLUME specified can not be an empty string"));
    }
    Ok(Command::Volume(words))
}

/// A JSON array's strings, or words at blanks. Strings of an array all stand where the array stands.
pub(super) fn json_or_words(statement: &Statement<'_>) -> Result<Vec<Spanned<String>>, Diagnostic> {
    if let Some(words) = json(statement)? {
        let span = statement.whole_rest().span;
        return Ok(words.into_iter().map(|value| Spanned { value, span }).collect());
    }
    Ok(statement.plain_words().into_iter().map(|word| statement.spanned(word)).collect())
}
