//! Where a kernel comes from: a path, or Debian's package by the system's own package manager.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Error, Result};

/// The package that depends on the newest cloud kernel.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// Files of a kernel, not yet kept.
#[derive(Debug)]
pub struct Source {
    /// A `bzImage` or an ELF image.
    pub image: PathBuf,
    /// The directory of its modules.
    pub modules: Option<PathBuf>,
    /// Its release, or its path.
    pub name: String,
    /// Where it came from, for people.
    pub origin: String,
    /// A directory that goes with this value.
    pub scratch: Option<Scratch>,
}

/// A directory that is removed with its value.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays lies below the engine's own directory, and is swept with the next fetch.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Source {
    /// A kernel's file with its directory of modules; for `/boot/vmlinuz-<release>` that is `/lib/modules/<release>`.
    #[must_use]
    pub fn path(image: &Path, modules: Option<&Path>) -> Self {
        let release = image.file_name().and_then(|name| name.to_str()?.split_once('-').map(|(_, release)| release));
        let known = release.map(|release| PathBuf::from("/lib/modules").join(release)).filter(|path| path.is_dir());
        Self {
            image: image.to_owned(),
            modules: modules.map(Path::to_owned).or(known),
            name: release.map_or_else(|| image.display().to_string(), str::to_owned),
            origin: image.display().to_string(),
            scratch: None,
        }
    }
}

/// Fetches Debian's cloud kernel into a directory below `root`.
///
/// # Errors
/// [`Error::Program`] with what `apt-get` or `dpkg-deb` said, [`Error::Malformed`] for a package without a kernel.
pub fn fetch(root: &Path) -> Result<Source> {
    let place = root.join("fetch");
    // What an earlier fetch left when the engine was killed.
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).map_err(Error::file("make", &place))?;
    let scratch = Scratch(place.clone());
    let package = newest()?;
    run(Command::new("apt-get")
        .args(["download", "-qq", "-o", "APT::Sandbox::User=root", &package])
        .current_dir(&place))?;
    let deb = only(&place, ".deb")?;
    let tree = place.join("tree");
    run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&tree))?;
    let image = only(&tree.join("boot"), "vmlinuz-")?;
    let modules = ["lib/modules", "usr/lib/modules"].map(|path| tree.join(path)).into_iter().find(|path| path.is_dir());
    let source = Source::path(&image, modules.as_deref());
    let origin = deb.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or(package);
    Ok(Source { origin, scratch: Some(scratch), ..source })
}

/// The versioned package behind [`PACKAGE`].
fn newest() -> Result<String> {
    let said = run(Command::new("apt-cache").args(["depends", PACKAGE]))?;
    let found = said.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    match found.filter(|name| name.starts_with("linux-image-")) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Error::malformed(
            format!("the package {PACKAGE}"),
            "this system's package lists do not have it (apt-get update?); give a kernel with --path",
        )),
    }
}

fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.env("LC_ALL", "C").stdin(Stdio::null()).output().map_err(|source| Error::Program {
        program: program.clone(),
        said: format!("{source}; give a kernel with --path where the system has no {program}"),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Program { program, said: if said.is_empty() { output.status.to_string() } else { said } })
}

/// The one file in a directory whose name has `part`.
fn only(directory: &Path, part: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).map_err(Error::file("read", directory))?;
    let found = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains(part)));
    found.ok_or_else(|| Error::malformed(directory.display().to_string(), format!("no file named *{part}* is in it")))
}
