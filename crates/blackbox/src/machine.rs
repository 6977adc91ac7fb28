//! Tests in which containers are virtual machines: `BERTH_TEST_ISOLATION=vm` makes them so in every test that does not
//! choose itself.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Engine, engine, workload::escape};

/// The runtime of machines.
pub const RUNTIME: &str = "io.berth.vm";
/// The package that depends on the newest cloud kernel.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// Whether containers are to be machines where a test does not say.
pub fn are_wanted() -> bool {
    std::env::var("BERTH_TEST_ISOLATION").is_ok_and(|wanted| wanted == "vm")
}

impl Engine {
    /// Starts an engine whose containers may be machines; says why when that cannot be here.
    pub fn start_for_machines() -> Result<Engine, String> {
        obtain_kernel()?;
        let engine = Engine::start();
        engine.install_kernel();
        Ok(engine)
    }

    /// Gives the engine a kernel for guests; without one the test counts as skipped.
    pub fn install_kernel(&self) {
        let (image, modules) = match obtain_kernel() {
            Ok(found) => found,
            Err(why) => {
                println!("skipped: {why}");
                std::process::exit(0);
            }
        };
        let text = |path: &Path| escape(&path.display().to_string());
        let path = format!("/vm/kernel?path={}&modules={}", text(&image), text(&modules));
        self.http().post(&path).expect(200);
    }
}

/// A kernel and its modules, fetched once beside the program that is tested.
pub fn obtain_kernel() -> Result<(PathBuf, PathBuf), String> {
    if !crate::command::is_installed("qemu-system-x86_64") {
        return Err("qemu-system-x86_64 is not installed".to_owned());
    }
    let place = engine::binary().parent().unwrap_or(Path::new("/tmp")).join("vm-kernel");
    if !place.exists() {
        fetch(&place)?;
    }
    let boot = std::fs::read_dir(place.join("boot")).map_err(|error| format!("{}: {error}", place.display()))?;
    let image = boot
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")));
    let image = image.ok_or_else(|| format!("no kernel is in {}", place.display()))?;
    Ok((image, place.join("lib/modules")))
}

fn fetch(place: &Path) -> Result<(), String> {
    let draft = tempfile::tempdir_in(place.parent().unwrap_or(Path::new("/tmp"))).map_err(|error| error.to_string())?;
    let said = run(Command::new("apt-cache").args(["depends", PACKAGE]))?;
    let package = said.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).unwrap_or(PACKAGE).to_owned();
    let options = ["download", "-qq", "-o", "APT::Sandbox::User=root"];
    run(Command::new("apt-get").args(options).arg(&package).current_dir(draft.path()))?;
    let deb = std::fs::read_dir(draft.path()).map_err(|error| error.to_string())?.next();
    let deb = deb.and_then(Result::ok).ok_or("apt-get has fetched nothing")?.path();
    let tree = draft.path().join("tree");
    run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&tree))?;
    // Another test may have been faster.
    let _ = std::fs::rename(tree, place);
    Ok(())
}

fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("no kernel for guests: {program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
