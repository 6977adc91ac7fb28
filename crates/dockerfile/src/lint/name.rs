//! Names and casing: stages, keywords, instructions, comments that describe.

use crate::diagnostic::Diagnostic;
use crate::instruction::{Command, Dockerfile};
use crate::span::{Position, Span};

pub(super) fn check(file: &Dockerfile, found: &mut Vec<Diagnostic>) {
    stage_names(file, found);
    instruction_casing(file, found);
    descriptions(file, found);
}

fn stage_names(file: &Dockerfile, found: &mut Vec<Diagnostic>) {
    let mut seen: Vec<String> = Vec::new();
    for stage in &file.stages {
        let from = &stage.from;
        if let Some(keyword) = &from.as_keyword {
            // Mixed casing is the business of another check.
            let differs =
                is_upper(&from.keyword) && !is_upper(keyword) || is_lower(&from.keyword) && !is_lower(keyword);
            if differs {
                let message = format!("'{}' and '{}' keywords' casing do not match", keyword.value, from.keyword);
                found.push(Diagnostic::warning("FromAsCasing", keyword.span, message));
            }
        }
        let Some(name) = &from.name else { continue };
        let lower = name.to_ascii_lowercase();
        if lower != name.value {
            let message = format!("Stage name '{}' should be lowercase", name.value);
            found.push(Diagnostic::warning("StageNameCasing", name.span, message));
        }
        if ["scratch", "context"].contains(&lower.as_str()) {
            let message = format!("Stage name should not use the same name as reserved stage {lower:?}");
            found.push(Diagnostic::warning("ReservedStageName", name.span, message));
        }
        if seen.contains(&lower) {
            let message = format!("Duplicate stage name {lower:?}, stage names should be unique");
            found.push(Diagnostic::warning("DuplicateStageName", name.span, message));
        }
        seen.push(lower);
    }
}

/// The keyword of each instruction, and where it stands.
fn keywords(file: &Dockerfile) -> Vec<(&str, Position)> {
    let mut all: Vec<(&str, Position)> =
        file.globals.iter().map(|one| (one.keyword.as_str(), one.span.start)).collect();
    for stage in &file.stages {
        all.push((&stage.from.keyword, stage.from.span.start));
        all.extend(stage.instructions.iter().map(|one| (one.keyword.as_str(), one.span.start)));
    }
    all
}

fn instruction_casing(file: &Dockerfile, found: &mut Vec<Diagnostic>) {
    let keywords = keywords(file);
    let lower = keywords.iter().filter(|(keyword, _)| is_lower(keyword)).count();
    let upper = keywords.iter().filter(|(keyword, _)| is_upper(keyword)).count();
    let (fits, casing): (fn(&str) -> bool, _) =
        if lower > upper { (is_lower, "lowercase") } else { (is_upper, "uppercase") };
    for (keyword, start) in keywords.iter().filter(|(keyword, _)| !fits(keyword)) {
        let message = format!("Command '{keyword}' should match the case of the command majority ({casing})");
        let width = u32::try_from(keyword.len()).unwrap_or(1);
        let end = Position { column: start.column + width, ..*start };
        found.push(Diagnostic::warning("ConsistentInstructionCasing", Span { start: *start, end }, message));
    }
}

/// A comment right above a named stage or an `ARG` should begin with the name.
fn descriptions(file: &Dockerfile, found: &mut Vec<Diagnostic>) {
    const RULE: &str = "InvalidDefinitionDescription";
    let fits = |comments: &[String], name: &str| {
        let words = |line: &String| line.split_whitespace().next().is_some_and(|first| first == name);
        comments.is_empty() || comments.iter().any(words)
    };
    for stage in &file.stages {
        if let Some(name) = stage.from.name.as_ref().filter(|name| !fits(&stage.from.comments, name)) {
            let message = format!("Comment for FROM should follow the format: `# {} <description>`", name.value);
            found.push(Diagnostic::warning(RULE, stage.from.span, message));
        }
    }
    for instruction in &file.globals {
        let Command::Arg(args) = &instruction.command else { continue };
        if let [arg] = &args[..]
            && !fits(&instruction.comments, &arg.name)
        {
            let message = format!("Comment for ARG should follow the format: `# {} <description>`", arg.name.value);
            found.push(Diagnostic::warning(RULE, instruction.span, message));
        }
    }
}

fn is_upper(word: &str) -> bool {
    !word.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn is_lower(word: &str) -> bool {
    !word.bytes().any(|byte| byte.is_ascii_uppercase())
}
