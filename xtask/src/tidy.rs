//! `cargo xtask tidy`: the conventions of STYLE.md as checks. Each rule is one file and returns its faults.

mod docs;
mod functions;
mod layers;
mod machine;
mod names;
mod paths;
mod safety;
mod size;
mod source;
mod unfinished;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use source::Source;

/// One place that breaks (or, as a warning, strains) a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Path from the workspace's root.
    pub path: String,
    /// 1-based; 0 when the file as a whole is meant.
    pub line: usize,
    pub text: String,
    /// A warning is printed and does not fail the run.
    pub warning: bool,
}

impl Fault {
    fn error(path: &str, line: usize, text: impl Into<String>) -> Self {
        Fault { path: path.to_owned(), line, text: text.into(), warning: false }
    }

    fn warning(path: &str, line: usize, text: impl Into<String>) -> Self {
        Fault { warning: true, ..Fault::error(path, line, text) }
    }
}

/// Rules that look at one Rust file.
const FILE_RULES: &[fn(&Source) -> Vec<Fault>] =
    &[docs::check, size::check, functions::check, names::check_modules, paths::check, safety::check, unfinished::check];

/// Runs every rule over every file that git knows (tracked, or new and not ignored).
pub fn run(root: &Path) -> Result<ExitCode> {
    let files = files(root)?;
    let mut faults = Vec::new();
    for path in &files {
        faults.extend(names::check_path(path));
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        faults.extend(machine::check(path, &text, &machine::own_paths(root)));
        if path.ends_with(".rs") {
            let source = Source::new(path, &text);
            faults.extend(FILE_RULES.iter().flat_map(|rule| rule(&source)));
        }
        if path.ends_with("Cargo.toml") && path != "Cargo.toml" {
            faults.extend(layers::check(path, &text));
        }
    }
    Ok(report(&faults, files.len()))
}

fn report(faults: &[Fault], files: usize) -> ExitCode {
    for fault in faults {
        let kind = if fault.warning { "warning" } else { "error" };
        eprintln!("{kind}: {}:{}: {}", fault.path, fault.line, fault.text);
    }
    let errors = faults.iter().filter(|f| !f.warning).count();
    println!("tidy: {files} files, {errors} errors, {} warnings", faults.len() - errors);
    if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn files(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("running git ls-files")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let listing = String::from_utf8(output.stdout).context("file names are UTF-8")?;
    let mut files: Vec<String> = listing.lines().map(str::to_owned).collect();
    files.retain(|path| root.join(PathBuf::from(path)).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}
