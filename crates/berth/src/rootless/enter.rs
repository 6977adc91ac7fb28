//! The daemon's way into the holder's namespaces, and out of them at its end.

use std::{
    convert::Infallible,
    fs::{self, DirBuilder, File},
    io::{BufReader, Write as _},
    os::{
        fd::AsFd as _,
        unix::{
            fs::{DirBuilderExt as _, MetadataExt as _},
            process::CommandExt as _,
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use berth_runtime::{cgroup, rootless::User};
use berth_sys::{
    namespace::{self, bit},
    pidfd, process,
};
use rustix::fs::{FlockOperation, flock};

use super::{holder, place, uplink};

/// Set for the daemon that is inside.
const VARIABLE: &str = "BERTH_ROOTLESS";
/// This program, even after its file was replaced by a newer one.
const SELF: &str = "/proc/self/exe";

/// Whether the caller is an ordinary user, outside.
pub fn is_needed() -> bool {
    !rustix::process::geteuid().is_root()
}

/// Whether this is the daemon inside.
pub fn is_inside() -> bool {
    rustix::process::geteuid().is_root() && std::env::var_os(VARIABLE).is_some()
}

/// Finds or makes the namespaces and executes the daemon again in them; returns only what a user without root lacks on
/// this machine. The caller must have a single thread.
pub fn enter(exec_root: &Path) -> anyhow::Error {
    match join(exec_root) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn join(exec_root: &Path) -> Result<Infallible> {
    // First, as what is started from here on stays in the group that its parent is in.
    cgroup::settle();
    let dir = place::dir(exec_root);
    let cannot = || format!("cannot use {}", dir.display());
    DirBuilder::new().recursive(true).mode(0o700).create(&dir).with_context(cannot)?;
    // Held until the daemon executes itself: two at once would make two holders.
    let lock = File::create(dir.join("lock")).with_context(cannot)?;
    flock(&lock, FlockOperation::LockExclusive).with_context(cannot)?;
    let pid = match holder::find(&dir) {
        Some(pid) => pid,
        None => start(&dir)?,
    };
    if let Err(error) = uplink::ensure(&dir, pid) {
        eprintln!("berth daemon: containers have no way to other machines: {error:#}");
    }
    let here = std::env::current_dir();
    let held = i32::try_from(pid).context("the holder's number")?;
    let held = pidfd::open(held).context("the process that holds the namespaces is gone")?;
    namespace::join(held.as_fd(), bit::USER | bit::MOUNT | bit::NETWORK)
        .context("cannot join the namespaces of this user's engine")?;
    process::become_user(0, 0, &[]).context("cannot become root of the user namespace")?;
    // Where the daemon was started from may be out of sight in there.
    let _ = here.map(std::env::set_current_dir);
    let mut command = Command::new(program());
    command.arg0("berth").args(std::env::args_os().skip(1)).env(VARIABLE, pid.to_string());
    Err(command.exec()).context("cannot execute the daemon in its namespaces")
}

/// The program by its path, where that is still the same file: only then is it known by a mount of the namespace joined,
/// which the daemon can show supervisors read-only.
fn program() -> PathBuf {
    let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let itself = PathBuf::from(SELF);
    let path = std::env::current_exe().ok();
    path.filter(|path| identity(path).is_some() && identity(path) == identity(&itself)).unwrap_or(itself)
}

/// Starts the holder and gives it its ids.
fn start(dir: &Path) -> Result<u32> {
    let log = File::create(dir.join("log")).context("cannot make the holder's log")?;
    let mut command = Command::new(SELF);
    command.arg0("berth").arg("rootless").arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn().context("cannot start the process that holds the namespaces")?;
    let prepared = prepare(&mut child);
    if prepared.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    prepared.with_context(|| {
        let said = fs::read_to_string(dir.join("log")).unwrap_or_default();
        format!(
            "cannot make a user namespace for this engine{}{}",
            if said.is_empty() { "" } else { ": " },
            said.trim()
        )
    })?;
    holder::note(dir, child.id())?;
    Ok(child.id())
}

fn prepare(child: &mut std::process::Child) -> Result<()> {
    let (Some(mut order), Some(answers)) = (child.stdin.take(), child.stdout.take()) else { bail!("no pipes") };
    let mut answers = BufReader::new(answers);
    expect(&mut answers, holder::UNSHARED)?;
    User::this().map_ids(child.id())?;
    order.write_all(b"\n")?;
    expect(&mut answers, holder::READY)
}

fn expect(answers: &mut impl std::io::BufRead, word: &str) -> Result<()> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    if line.trim() == word { Ok(()) } else { bail!("it ended before it was {word}") }
}

/// After the last container: ends the holder and its uplink. The next daemon makes them anew.
pub fn leave(exec_root: &Path) {
    let dir = place::dir(exec_root);
    uplink::end(&dir);
    holder::end(&dir);
}
