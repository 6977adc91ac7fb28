//! Variables: used and never set, global defaults that make no image name, platforms written out.

use std::collections::BTreeMap;

use super::Surroundings;
use crate::diagnostic::Diagnostic;
use crate::instruction::{Command, Dockerfile, Instruction, Source, Stage};
use crate::scope::{Globals, PROXIES, Scope};
use crate::span::Spanned;

pub(super) fn check(file: &Dockerfile, around: &Surroundings<'_>, found: &mut Vec<Diagnostic>) {
    // What cannot be expanded is an error of the build, not a finding.
    let Ok(globals) = Globals::new(file, around.build_args, around.platforms, around.target) else { return };
    let defaults = Globals::new(file, &BTreeMap::new(), around.platforms, around.target).ok();
    let mut scopes: Vec<Option<Scope>> = Vec::with_capacity(file.stages.len());
    for stage in &file.stages {
        from(stage, &globals, defaults.as_ref(), found);
        let image = globals.expand(&stage.from.image).map(|expanded| expanded.value).unwrap_or_default();
        let scope = match file.stage(&image, stage.index) {
            Some(base) => scopes.get(base.index).cloned().flatten(),
            None if image.eq_ignore_ascii_case("scratch") => Some(Scope::stage(&globals, &path())),
            None => (around.base_env)(&image).map(|env| Scope::stage(&globals, &with_path(env))),
        };
        scopes.push(scope.and_then(|scope| walk(stage, scope, found)));
    }
}

fn path() -> Vec<String> {
    vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()]
}

fn with_path(mut env: Vec<String>) -> Vec<String> {
    if !env.iter().any(|entry| entry.starts_with("PATH=")) {
        env.extend(path());
    }
    env
}

fn from(stage: &Stage, globals: &Globals, defaults: Option<&Globals>, found: &mut Vec<Diagnostic>) {
    let from = &stage.from;
    for word in [Some(&from.image), from.platform.as_ref()].into_iter().flatten() {
        let Ok(expanded) = globals.expand(word) else { continue };
        for name in &expanded.unmatched {
            let hint =
                similar(name, globals.names()).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            let message = format!("FROM argument '{name}' is not declared{hint}");
            found.push(Diagnostic::warning("UndefinedArgInFrom", word.span, message));
        }
    }
    if let Some(expanded) = defaults.and_then(|defaults| defaults.expand(&from.image).ok())
        && from.image.contains('$')
        && !looks_like_image(&expanded.value)
    {
        let message = format!("Default value for ARG {} results in empty or invalid base image name", from.image.value);
        found.push(Diagnostic::warning("InvalidDefaultArgInFrom", from.image.span, message));
    }
    let Some(platform) = &from.platform else { return };
    if ["$TARGETPLATFORM", "${TARGETPLATFORM}"].contains(&platform.value.as_str()) {
        let message = format!(
            "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
            platform.value
        );
        found.push(Diagnostic::warning("RedundantTargetPlatform", platform.span, message));
    }
    // A stage named after its platform is one of a family, chosen by variable.
    let family = from.name.as_ref().is_some_and(|name| {
        let architecture = platform.split('/').nth(1).unwrap_or(platform);
        name.to_ascii_lowercase().contains(&architecture.to_ascii_lowercase())
    });
    if !platform.contains('$') && !family {
        let message = format!("FROM --platform flag should not use constant value {:?}", platform.value);
        found.push(Diagnostic::warning("FromPlatformFlagConstDisallowed", platform.span, message));
    }
}

fn looks_like_image(name: &str) -> bool {
    let bad_end = name.is_empty() || name.ends_with([':', '@', '/']) || name.starts_with([':', '@', '/']);
    !bad_end && !name.contains("//") && !name.contains(":@") && !name.contains(char::is_whitespace)
}

/// Walks a stage and keeps its scope; none once something in it cannot be expanded.
fn walk(stage: &Stage, mut scope: Scope, found: &mut Vec<Diagnostic>) -> Option<Scope> {
    for instruction in &stage.instructions {
        for word in words(instruction) {
            let expanded = scope.expand_noting(word).ok()?;
            for name in expanded.unmatched.iter().filter(|name| !PROXIES.contains(&name.as_str())) {
                // Prepending to what may be unset is how such lists are made.
                if is_own_list(instruction, name) {
                    continue;
                }
                let declared = scope.arguments();
                let known = scope.env().iter().chain(&declared).map(|(known, _)| known.as_str());
                let hint = similar(name, known).map(|near| format!(" (did you mean ${near}?)")).unwrap_or_default();
                let message = format!("Usage of undefined variable '${name}'{hint}");
                found.push(Diagnostic::warning("UndefinedVar", word.span, message));
            }
        }
        match &instruction.command {
            Command::Arg(args) => {
                for arg in args {
                    let (name, value) = scope.declare(arg).ok()?;
                    if value.is_none() {
                        // Declared without a value is still declared.
                        scope.declare_empty(&name);
                    }
                }
            }
            Command::Env(pairs) => drop(scope.set_env(pairs).ok()?),
            _ => {}
        }
    }
    Some(scope)
}

/// `ENV LD_LIBRARY_PATH=/x:$LD_LIBRARY_PATH`.
fn is_own_list(instruction: &Instruction, name: &str) -> bool {
    match &instruction.command {
        Command::Env(pairs) => pairs.iter().any(|pair| pair.key.value == name),
        _ => false,
    }
}

/// The words of an instruction that are expanded.
fn words(instruction: &Instruction) -> Vec<&Spanned<String>> {
    match &instruction.command {
        Command::Arg(args) => args.iter().filter_map(|arg| arg.default.as_ref()).collect(),
        Command::Env(pairs) | Command::Label(pairs) => pairs.iter().flat_map(|pair| [&pair.key, &pair.value]).collect(),
        Command::Expose(words) | Command::Volume(words) => words.iter().collect(),
        Command::Stopsignal(word) | Command::User(word) | Command::Workdir(word) => vec![word],
        Command::Copy(copy) => {
            let flags = [&copy.chown, &copy.chmod].into_iter().filter_map(|flag| flag.as_ref());
            files(&copy.sources, &copy.destination).into_iter().chain(flags).chain(&copy.exclude).collect()
        }
        Command::Add(add) => {
            let flags = [&add.chown, &add.chmod, &add.checksum].into_iter().filter_map(|flag| flag.as_ref());
            files(&add.sources, &add.destination).into_iter().chain(flags).chain(&add.exclude).collect()
        }
        _ => Vec::new(),
    }
}

fn files<'s>(sources: &'s [Source], destination: &'s Spanned<String>) -> Vec<&'s Spanned<String>> {
    let paths = sources.iter().filter_map(|source| match source {
        Source::Path(path) => Some(path),
        Source::Heredoc(_) => None,
    });
    paths.chain([destination]).collect()
}

/// The known name that has the same letters in another order, or misses or doubles one.
fn similar<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    known
        .filter(|known| crate::parse::distance(name, known) <= 2 && known.len() > 2)
        .min_by_key(|known| crate::parse::distance(name, known))
}
