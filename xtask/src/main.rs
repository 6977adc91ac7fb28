//! `cargo xtask`: the project's own checks, which no off-the-shelf tool knows how to make.
//!
//! - `cargo xtask tidy` holds the sources to STYLE.md: direction between crates, sizes, names, `unsafe`, docs.
//! - `cargo xtask operations` checks the table of API operations in docs/api-operations.md for form and count.

mod operations;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "usage: cargo xtask <tidy|operations>";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode> {
    let root = workspace_root()?;
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy::run(&root),
        Some("operations") => operations::run(&root),
        Some(other) => bail!("unknown task {other:?}\n{USAGE}"),
        None => bail!("{USAGE}"),
    }
}

/// The workspace's root: the parent of this package's folder, wherever the checkout lies.
fn workspace_root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`")?;
    Ok(Path::new(&package).parent().context("xtask lies in the workspace")?.to_path_buf())
}
