//! Which stages a build needs, and what a name after `FROM` and `--from=` means.

use std::collections::BTreeSet;

use berth_dockerfile::{Command, Dockerfile, MountKind, Stage, scope::Globals};

use crate::{Error, Request, Result};

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A stage, by its number.
    Stage(usize),
    /// A named context of the request.
    Context(String),
    /// The context of the build.
    Main,
    /// Nothing at all: `scratch`.
    Nothing,
    /// An image.
    Image(String),
}

/// What `name` means in stage `before` or in front of it.
pub(crate) fn origin(file: &Dockerfile, request: &Request, name: &str, before: usize) -> Origin {
    if let Some(context) = request.contexts.keys().find(|context| same_context(context, name)) {
        return Origin::Context(context.clone());
    }
    match file.stage(name, before) {
        Some(stage) => Origin::Stage(stage.index),
        None if name == "scratch" => Origin::Nothing,
        None => Origin::Image(name.to_owned()),
    }
}

/// A context that stands for an image may be named with its tag and domain or without.
fn same_context(context: &str, name: &str) -> bool {
    if context.eq_ignore_ascii_case(name) {
        return true;
    }
    let familiar = |text: &str| berth_spec::Reference::parse(text).ok().map(|one| one.with_default_tag().familiar());
    context.contains([':', '/']) && familiar(context).is_some_and(|context| familiar(name) == Some(context))
}

/// The base of a stage, its variables expanded.
pub(crate) fn base(file: &Dockerfile, request: &Request, globals: &Globals, stage: &Stage) -> Result<Origin> {
    let name = globals.expand(&stage.from.image).map_err(|fault| faulty(request, &fault))?.value;
    if name.is_empty() {
        let text = format!("base name ({}) should not be blank", stage.from.image.value);
        return Err(at(request, stage.from.span.start.line, text));
    }
    Ok(origin(file, request, &name, stage.index))
}

/// The numbers of the stages that the target needs, itself included, in the order of the file.
pub(crate) fn needed(file: &Dockerfile, request: &Request, globals: &Globals, target: usize) -> Result<Vec<usize>> {
    let mut found = BTreeSet::new();
    let mut open = vec![target];
    while let Some(index) = open.pop() {
        if !found.insert(index) {
            continue;
        }
        let stage = &file.stages[index];
        if let Origin::Stage(base) = base(file, request, globals, stage)? {
            open.push(base);
        }
        open.extend(used(file, request, stage));
    }
    Ok(found.into_iter().collect())
}

/// The stages that instructions of a stage take files from.
pub(crate) fn used(file: &Dockerfile, request: &Request, stage: &Stage) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for instruction in &stage.instructions {
        let mut names: Vec<String> = Vec::new();
        match &instruction.command {
            Command::Copy(copy) => names.extend(copy.from.as_ref().map(|from| from.value.clone())),
            Command::Run(run) => {
                for flag in &run.mounts {
                    let mount = flag.resolve(|value| Ok(value.to_owned()));
                    if let Ok(MountKind::Bind { from, .. } | MountKind::Cache { from, .. }) =
                        mount.map(|mount| mount.kind)
                    {
                        names.extend(from);
                    }
                }
            }
            _ => {}
        }
        let stages = names.iter().map(|name| origin(file, request, name, stage.index));
        found.extend(stages.filter_map(|origin| if let Origin::Stage(index) = origin { Some(index) } else { None }));
    }
    found
}

/// What is wrong with the Dockerfile, with its line.
pub(crate) fn faulty(request: &Request, fault: &berth_dockerfile::Diagnostic) -> Error {
    let text = String::from_utf8_lossy(&request.dockerfile);
    Error::Dockerfile(fault.render(&request.dockerfile_name, &text))
}

/// What is wrong at a line.
pub(crate) fn at(request: &Request, line: u32, message: impl Into<String>) -> Error {
    Error::Step { place: format!("{}:{line}", request.dockerfile_name), message: message.into() }
}

#[cfg(test)]
mod tests {
    use berth_dockerfile::scope::Platforms;
    use berth_spec::Platform;

    use super::*;
    use crate::Source;

    #[test]
    fn stages_that_nobody_needs_are_left_out() {
        let text = "FROM scratch AS a\nFROM a AS b\nRUN x\nFROM scratch AS unused\nRUN y\nFROM scratch AS tool\n\
                    FROM scratch\nCOPY --from=b / /\nRUN --mount=from=tool,target=/t z\n";
        let file = berth_dockerfile::parse(text).expect("a Dockerfile");
        let request = Request::new(text.into(), Source::Nothing);
        let platforms = Platforms { build: Platform::host(), target: Platform::host() };
        let globals = Globals::new(&file, &request.args, &platforms, "").expect("globals");
        assert_eq!(needed(&file, &request, &globals, 4).expect("a plan"), [0, 1, 3, 4]);
        assert_eq!(needed(&file, &request, &globals, 1).expect("a plan"), [0, 1]);
    }

    #[test]
    fn contexts_come_before_stages_and_images() {
        let file = berth_dockerfile::parse("FROM scratch AS base\nFROM scratch\n").expect("a Dockerfile");
        let mut request = Request::new(Vec::new(), Source::Nothing);
        assert_eq!(origin(&file, &request, "BASE", 1), Origin::Stage(0));
        assert_eq!(origin(&file, &request, "0", 1), Origin::Stage(0));
        assert_eq!(origin(&file, &request, "base", 0), Origin::Image("base".into()));
        request.contexts.insert("base".into(), Source::Nothing);
        request.contexts.insert("docker.io/library/debian:latest".into(), Source::Nothing);
        assert_eq!(origin(&file, &request, "base", 1), Origin::Context("base".into()));
        assert!(matches!(origin(&file, &request, "debian", 1), Origin::Context(_)));
    }
}
