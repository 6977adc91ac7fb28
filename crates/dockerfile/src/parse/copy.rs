//! `COPY` and `ADD`.

use super::form;
use super::statement::{Statement, boolean};
use crate::diagnostic::Diagnostic;
use crate::instruction::{Add, Command, Copy, Source};
use crate::line::Reader;
use crate::span::{Span, Spanned};

pub(super) fn copy(statement: &Statement<'_>, reader: &mut Reader<'_>) -> Result<Command, Diagnostic> {
    let nothing = Spanned { value: String::new(), span: Span::default() };
    let mut copy = Copy {
        sources: Vec::new(),
        destination: nothing,
        from: None,
        chown: None,
        chmod: None,
        link: false,
        parents: false,
        exclude: Vec::new(),
    };
    let known = ["from", "chown", "chmod", "exclude*"];
    statement.each_flag(&known, &["link", "parents"], |name, value| {
        match name {
            "from" if value.contains('$') => {
                let from = value.value;
                return Err(format!("'{from}' doesn't support variable expansion, define alias stage instead"));
            }
            "from" => copy.from = Some(value).filter(|value| !value.is_empty()),
            "chown" => copy.chown = Some(value).filter(|value| !value.is_empty()),
            "chmod" => copy.chmod = Some(value).filter(|value| !value.is_empty()),
            "exclude" => copy.exclude.push(value),
            "link" => copy.link = boolean(name, &value)?,
            _ => copy.parents = boolean(name, &value)?,
        }
        Ok(())
    })?;
    (copy.sources, copy.destination) = files(statement, reader)?;
    Ok(Command::Copy(copy))
}

pub(super) fn add(statement: &Statement<'_>, reader: &mut Reader<'_>) -> Result<Command, Diagnostic> {
    let nothing = Spanned { value: String::new(), span: Span::default() };
    let mut add = Add {
        sources: Vec::new(),
        destination: nothing,
        chown: None,
        chmod: None,
        link: false,
        keep_git_dir: None,
        checksum: None,
        unpack: None,
        exclude: Vec::new(),
    };
    let known = ["chown", "chmod", "checksum", "exclude*"];
    statement.each_flag(&known, &["link", "keep-git-dir", "unpack"], |name, value| {
        match name {
            "chown" => add.chown = Some(value).filter(|value| !value.is_empty()),
            "chmod" => add.chmod = Some(value).filter(|value| !value.is_empty()),
            "checksum" => add.checksum = Some(value).filter(|value| !value.is_empty()),
            "exclude" => add.exclude.push(value),
            "link" => add.link = boolean(name, &value)?,
            "keep-git-dir" => add.keep_git_dir = Some(boolean(name, &value)?),
            _ => add.unpack = Some(boolean(name, &value)?),
        }
        Ok(())
    })?;
    (add.sources, add.destination) = files(statement, reader)?;
    Ok(Command::Add(add))
}

/// Sources and destination, heredocs among the sources.
fn files(statement: &Statement<'_>, reader: &mut Reader<'_>) -> Result<(Vec<Source>, Spanned<String>), Diagnostic> {
    let is_json = form::json(statement)?.is_some();
    let mut words = form::json_or_words(statement)?;
    let opening = |word: &Spanned<String>| match is_json {
        true => None,
        false => crate::heredoc::opening(word),
    };
    // What follows the instruction belongs to its heredocs even where the instruction is wrong.
    let openings = words.iter().filter_map(opening).collect();
    let mut heredocs = statement.read_heredocs(openings, reader)?.into_iter();
    let name = &statement.name;
    let destination = match words.pop() {
        Some(destination) if !words.is_empty() => destination,
        _ => {
            let message = format!(
                "{name} requires at least two arguments, but {} provided. Destination could not be determined",
                if statement.rest().is_empty() { "none were" } else { "only one was" }
            );
            return Err(statement.fault(message));
        }
    };
    if opening(&destination).is_some() {
        return Err(Diagnostic::error(destination.span, format!("{name} cannot accept a heredoc as a destination")));
    }
    let mut sources = Vec::with_capacity(words.len());
    for word in words {
        match opening(&word) {
            Some(_) => sources.extend(heredocs.next().map(Source::Heredoc)),
            None => sources.push(Source::Path(word)),
        }
    }
    Ok((sources, destination))
}
