//! What stands in a stage and depends on what surrounds it: working directories, sources that are ignored.

use super::Surroundings;
use crate::diagnostic::Diagnostic;
use crate::instruction::{Command, Dockerfile, Instruction, Source};

pub(super) fn check(file: &Dockerfile, around: &Surroundings<'_>, found: &mut Vec<Diagnostic>) {
    let mut absolute = Vec::with_capacity(file.stages.len());
    for stage in &file.stages {
        let base = file.stage(&stage.from.image, stage.index).map(|base| base.index);
        let mut known = base.is_some_and(|base| absolute.get(base) == Some(&true));
        for instruction in &stage.instructions {
            if let Command::Workdir(path) = &instruction.command {
                if path.starts_with('/') || path.starts_with('$') {
                    known = true;
                } else if !known {
                    let message = format!(
                        "Relative workdir {:?} can have unexpected results if the base image changes",
                        path.value
                    );
                    found.push(Diagnostic::warning("WorkdirRelativePath", path.span, message));
                    known = true;
                }
            }
            ignored(instruction, around, found);
        }
        absolute.push(known);
    }
}

fn ignored(instruction: &Instruction, around: &Surroundings<'_>, found: &mut Vec<Diagnostic>) {
    let (name, sources) = match &instruction.command {
        Command::Copy(copy) if copy.from.is_none() => ("Copy", &copy.sources),
        Command::Add(add) => ("Add", &add.sources),
        _ => return,
    };
    let Some(ignore) = around.ignore else { return };
    for source in sources {
        let Source::Path(path) = source else { continue };
        let remote = ["http://", "https://", "git://", "git@", "ssh://"].iter().any(|scheme| path.starts_with(scheme));
        let clean = path.trim_start_matches("./").trim_matches('/');
        if remote || clean.is_empty() || clean == "." || clean.contains(['$', '*', '?', '[']) || clean.contains("..") {
            continue;
        }
        // A folder whose files are taken back is no mistake.
        if ignore.prunes(clean) {
            let message = format!("Attempting to {name} file {:?} that is excluded by .dockerignore", path.value);
            found.push(Diagnostic::warning("CopyIgnoredFile", path.span, message));
        }
    }
}
