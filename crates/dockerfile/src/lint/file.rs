//! Instructions that are legal alone and still not well written.

use crate::diagnostic::Diagnostic;
use crate::instruction::{Command, Dockerfile, Form, Healthcheck, Instruction, Pair};
use crate::span::Span;

pub(super) fn check(file: &Dockerfile, found: &mut Vec<Diagnostic>) {
    let all = file.globals.iter().chain(file.stages.iter().flat_map(|stage| &stage.instructions));
    for instruction in all {
        one(instruction, found);
    }
    for stage in &file.stages {
        repeated(&stage.instructions, found);
    }
}

fn one(instruction: &Instruction, found: &mut Vec<Diagnostic>) {
    match &instruction.command {
        Command::Maintainer(_) => {
            let message = "Maintainer instruction is deprecated in favor of using label";
            found.push(Diagnostic::warning("MaintainerDeprecated", instruction.span, message));
        }
        Command::Env(pairs) => {
            legacy("ENV", pairs, instruction.span, found);
            for pair in pairs {
                secret("ENV", &pair.key.value, pair.key.span, found);
            }
        }
        Command::Label(pairs) => legacy("LABEL", pairs, instruction.span, found),
        Command::Arg(args) => {
            for arg in args {
                secret("ARG", &arg.name.value, arg.name.span, found);
            }
        }
        Command::Expose(words) => words.iter().for_each(|word| expose(word, word.span, found)),
        _ => {}
    }
}

fn legacy(name: &str, pairs: &[Pair], span: Span, found: &mut Vec<Diagnostic>) {
    if pairs.iter().any(|pair| pair.legacy) {
        let message = format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format");
        found.push(Diagnostic::warning("LegacyKeyValueFormat", span, message));
    }
}

/// Words between underscores that mean a secret.
const SECRETS: &[&str] =
    &["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

fn secret(instruction: &str, name: &str, span: Span, found: &mut Vec<Diagnostic>) {
    let lower = name.to_ascii_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
    if has(SECRETS) && !has(&["public"]) {
        let message = format!("Do not use ARG or ENV instructions for sensitive data ({instruction} {name:?})");
        found.push(Diagnostic::warning("SecretsUsedInArgOrEnv", span, message));
    }
}

fn expose(word: &str, span: Span, found: &mut Vec<Diagnostic>) {
    if word.contains('$') {
        return;
    }
    if word.contains(':') {
        let message =
            format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{word}'");
        found.push(Diagnostic::warning("ExposeInvalidFormat", span, message));
    }
    if word.split_once('/').is_some_and(|(_, protocol)| protocol != protocol.to_ascii_lowercase()) {
        let message = format!("Defined protocol '{word}' in EXPOSE instruction should be lowercase");
        found.push(Diagnostic::warning("ExposeProtoCasing", span, message));
    }
}

/// Only the last of these counts in a stage; each one before it is found. A shell form is judged where the stage sets
/// no shell of its own.
fn repeated(instructions: &[Instruction], found: &mut Vec<Diagnostic>) {
    let mut last: [Option<&Instruction>; 3] = [None; 3];
    let mut own_shell = false;
    for instruction in instructions {
        let (slot, name, form) = match &instruction.command {
            Command::Cmd(form) => (0, "CMD", Some(form)),
            Command::Entrypoint(form) => (1, "ENTRYPOINT", Some(form)),
            Command::Healthcheck(Healthcheck::Probe(_) | Healthcheck::None) => (2, "HEALTHCHECK", None),
            Command::Shell(_) => {
                own_shell = true;
                continue;
            }
            _ => continue,
        };
        if let Some(earlier) = last[slot].replace(instruction) {
            let message = format!(
                "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
            );
            found.push(Diagnostic::warning("MultipleInstructionsDisallowed", earlier.span, message));
        }
        if matches!(form, Some(Form::Shell(_))) && !own_shell {
            let message =
                format!("JSON arguments recommended for {name} to prevent unintended behavior related to OS signals");
            found.push(Diagnostic::warning("JSONArgsRecommended", instruction.span, message));
        }
    }
}
