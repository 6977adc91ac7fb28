//! From text to stages and instructions.
//!
//! Errors do not stop the reading: each instruction is read on its own, so that one look shows all that is wrong
//! (up to [`limit::ERRORS`]).

mod copy;
mod form;
mod from;
mod health;
mod pair;
mod run;
mod statement;

use crate::diagnostic::Diagnostic;
use crate::instruction::{Command, Dockerfile, Instruction, Source, Stage};
use crate::limit;
use crate::line::{Logical, Reader};
use crate::span::{Position, Span};
use statement::Statement;
pub(crate) use statement::distance;

/// Reads a Dockerfile.
///
/// # Errors
/// All that is wrong with it, in the order of the file; never an empty list.
pub fn parse(text: &str) -> Result<Dockerfile, Vec<Diagnostic>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > limit::FILE_BYTES {
        let message = format!("the Dockerfile is larger than {} bytes", limit::FILE_BYTES);
        return Err(vec![Diagnostic::error(top(), message)]);
    }
    let mut faults = Vec::new();
    let directives = crate::directive::read(text, &mut faults);
    let mut file = Collector::new(directives.escape);
    file.faults = faults;
    file.read(text);
    let Collector { mut faults, globals, stages, warnings, .. } = file;
    if faults.is_empty() && stages.is_empty() {
        let message = match globals.is_empty() {
            true => "file with no instructions",
            false => "no build stage in current context",
        };
        faults.push(Diagnostic::error(globals.first().map_or(top(), |first| first.span), message));
    }
    match faults.is_empty() {
        true => Ok(Dockerfile { directives, globals, stages, warnings }),
        false => Err(faults),
    }
}

/// Reads a Dockerfile from bytes. Bytes that are no UTF-8 may stand in comments only.
///
/// # Errors
/// As [`parse`]; the line that is no UTF-8.
pub fn parse_bytes(bytes: &[u8]) -> Result<Dockerfile, Vec<Diagnostic>> {
    let text = decode(bytes).map_err(|fault| vec![fault])?;
    parse(&text)
}

/// The text of a Dockerfile, as [`Diagnostic::render`] wants it.
///
/// # Errors
/// The line outside of comments that is no UTF-8.
pub fn decode(bytes: &[u8]) -> Result<std::borrow::Cow<'_, str>, Diagnostic> {
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let Err(fault) = std::str::from_utf8(line) else { continue };
        if line.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        let column = String::from_utf8_lossy(&line[..fault.valid_up_to()]).chars().count() + 1;
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let start = Position { line: number(index + 1), column: number(column) };
        return Err(Diagnostic::error(Span { start, end: start }, "the line is not valid UTF-8"));
    }
    Ok(String::from_utf8_lossy(bytes))
}

/// Reads one instruction that stands alone: a trigger kept in an image's `OnBuild`.
///
/// # Errors
/// What is wrong with it, placed on line 1.
pub fn parse_trigger(text: &str) -> Result<Instruction, Diagnostic> {
    // A trigger with heredocs carries them behind its first line.
    let mut reader = Reader::new(text, '\\');
    let logical = reader.next_logical()?.unwrap_or_else(|| Logical::alone(""));
    let statement = Statement::split(&logical, '\\')?;
    let instruction = instruction(&statement, &mut reader)?;
    refuse_trigger(&statement)?;
    Ok(instruction)
}

fn top() -> Span {
    let start = Position { line: 1, column: 1 };
    Span { start, end: start }
}

struct Collector {
    escape: char,
    faults: Vec<Diagnostic>,
    globals: Vec<Instruction>,
    stages: Vec<Stage>,
    warnings: Vec<Diagnostic>,
    instructions: usize,
}

impl Collector {
    fn new(escape: char) -> Self {
        let (faults, globals, stages, warnings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { escape, faults, globals, stages, warnings, instructions: 0 }
    }

    fn read(&mut self, text: &str) {
        let mut reader = Reader::new(text, self.escape);
        while self.faults.len() < limit::ERRORS {
            let logical = match reader.next_logical() {
                Ok(Some(logical)) => logical,
                Ok(None) => return,
                Err(fault) => return self.faults.push(fault),
            };
            self.instructions += 1;
            if self.instructions > limit::INSTRUCTIONS {
                let message = format!("more than {} instructions", limit::INSTRUCTIONS);
                return self.faults.push(Diagnostic::error(logical.whole(), message));
            }
            self.note_blanks(&logical);
            if let Err(fault) = self.take(&logical, &mut reader) {
                self.faults.push(fault);
            }
        }
    }

    fn note_blanks(&mut self, logical: &Logical) {
        if let Some(line) = logical.blanks.first() {
            let start = Position { line: *line, column: 1 };
            let keyword = logical.text.split_whitespace().next().unwrap_or_default();
            let message = format!("Empty continuation line found in: {keyword}");
            self.warnings.push(Diagnostic::warning("NoEmptyContinuation", Span { start, end: start }, message));
        }
    }

    fn take(&mut self, logical: &Logical, reader: &mut Reader<'_>) -> Result<(), Diagnostic> {
        let statement = Statement::split(logical, self.escape)?;
        if statement.name == "FROM" {
            if self.stages.len() >= limit::STAGES {
                return Err(statement.fault(format!("more than {} stages", limit::STAGES)));
            }
            // A stage that cannot be read still holds what follows, or each line after it would be an error too.
            let from = from::from(&statement);
            let fault = from.as_ref().err().cloned();
            let from = from.unwrap_or_else(|_| from::placeholder(&statement));
            self.stages.push(Stage { index: self.stages.len(), from, instructions: Vec::new() });
            return fault.map_or(Ok(()), Err);
        }
        let instruction = instruction(&statement, reader)?;
        match (self.stages.last_mut(), &instruction.command) {
            (Some(stage), _) => stage.instructions.push(instruction),
            (None, Command::Arg(_)) => self.globals.push(instruction),
            (None, _) => return Err(statement.fault("no build stage in current context")),
        }
        Ok(())
    }
}

/// Reads any instruction but `FROM`, and its heredocs from the lines behind it.
fn instruction(statement: &Statement<'_>, reader: &mut Reader<'_>) -> Result<Instruction, Diagnostic> {
    let command = match statement.name.as_str() {
        "ADD" => copy::add(statement, reader)?,
        "ARG" => pair::arg(statement)?,
        "CMD" => Command::Cmd(form::command(statement)?),
        "COPY" => copy::copy(statement, reader)?,
        "ENTRYPOINT" => Command::Entrypoint(form::command(statement)?),
        "ENV" => pair::env(statement)?,
        "EXPOSE" => form::expose(statement)?,
        "FROM" => return Err(statement.fault("FROM isn't allowed here")),
        "HEALTHCHECK" => health::healthcheck(statement)?,
        "LABEL" => pair::label(statement)?,
        "MAINTAINER" => Command::Maintainer(form::single(statement)?),
        "ONBUILD" => onbuild(statement, reader)?,
        "RUN" => run::run(statement, reader)?,
        "SHELL" => form::shell(statement)?,
        "STOPSIGNAL" => Command::Stopsignal(form::single(statement)?),
        "USER" => Command::User(form::single(statement)?),
        "VOLUME" => form::volume(statement)?,
        "WORKDIR" => Command::Workdir(form::single(statement)?),
        _ => return Err(statement.unknown()),
    };
    Ok(Instruction {
        command,
        text: statement.text().to_owned(),
        keyword: statement.keyword.clone(),
        comments: statement.logical.comments.clone(),
        span: statement.logical.whole(),
    })
}

fn onbuild(statement: &Statement<'_>, reader: &mut Reader<'_>) -> Result<Command, Diagnostic> {
    statement.no_flags()?;
    if statement.rest().is_empty() {
        return Err(statement.fault("ONBUILD requires at least one argument"));
    }
    let inner = statement.below();
    refuse_trigger(&inner)?;
    let instruction = instruction(&inner, reader)?;
    let mut trigger = inner.text().to_owned();
    for heredoc in heredocs(&instruction.command) {
        trigger.push('\n');
        trigger.push_str(&heredoc.content);
        trigger.push_str(&heredoc.name);
    }
    Ok(Command::Onbuild(crate::instruction::Onbuild { trigger, instruction: Box::new(instruction) }))
}

fn heredocs(command: &Command) -> Vec<&crate::heredoc::Heredoc> {
    fn written(source: &Source) -> Option<&crate::heredoc::Heredoc> {
        match source {
            Source::Heredoc(heredoc) => Some(heredoc),
            Source::Path(_) => None,
        }
    }
    match command {
        Command::Run(run) => run.heredocs.iter().collect(),
        Command::Copy(copy) => copy.sources.iter().filter_map(written).collect(),
        Command::Add(add) => add.sources.iter().filter_map(written).collect(),
        _ => Vec::new(),
    }
}

fn refuse_trigger(statement: &Statement<'_>) -> Result<(), Diagnostic> {
    match statement.name.as_str() {
        "ONBUILD" => Err(statement.fault("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
        name @ ("FROM" | "MAINTAINER") => Err(statement.fault(format!("{name} isn't allowed as an ONBUILD trigger"))),
        _ => Ok(()),
    }
}
