//! The daemon's place on the host: directories, the lock that keeps a second daemon out, the process id file.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use berth_kit::guard::{Guard, stands};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::configuration::Configuration;

/// Held while the daemon lives.
pub struct Place {
    /// The lock goes with the descriptor, so also with a killed daemon.
    _locks: [File; 2],
    pidfile: PathBuf,
    begun: Instant,
}

impl Place {
    /// Makes and locks both roots and writes the process id.
    ///
    /// # Errors
    /// When another daemon has one of the roots, or a directory cannot be made.
    pub fn take(configuration: &Configuration) -> Result<Self> {
        let begun = Instant::now();
        // What containers leave is nobody's business; the way to the socket is everybody's, who may be in its group.
        let locks = [lock(&configuration.data_root, 0o700)?, lock(&configuration.exec_root, 0o711)?];
        write_pid(&configuration.pidfile)?;
        if let Some(score) = configuration.values.number("oom-score-adjust") {
            fs::write("/proc/self/oom_score_adj", score.to_string()).context("cannot set oom-score-adjust")?;
        }
        Ok(Self { _locks: locks, pidfile: configuration.pidfile.clone(), begun })
    }

    /// How long ago the daemon began.
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Takes the process id file away.
    pub fn leave(self) {
        let _ = fs::remove_file(&self.pidfile);
    }
}

fn lock(root: &Path, mode: u32) -> Result<File> {
    let cannot = || format!("cannot use {}", root.display());
    fs::DirBuilder::new().recursive(true).mode(mode).create(root).with_context(cannot)?;
    // One that was there before, or was made under a tight or loose umask, may be open to others.
    let mode = if stands(Guard::PrivateState) { mode } else { 0o755 };
    fs::set_permissions(root, fs::Permissions::from_mode(mode)).with_context(cannot)?;
    let path = root.join("daemon.lock");
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).with_context(cannot)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => bail!(
            "{} belongs to another daemon that is running; stop it, or give this one a --data-root and an --exec-root of its own",
            root.display()
        ),
        Err(errno) => Err(errno).with_context(|| format!("cannot lock {}", path.display())),
    }
}

fn write_pid(path: &Path) -> Result<()> {
    if let Some(pid) = running(path) {
        bail!(
            "failed to start daemon, ensure berth is not running or delete {}: process with PID {pid} is still running",
            path.display()
        );
    }
    let cannot = || format!("cannot write the pidfile {}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(cannot)?;
    }
    let mut file = File::create(path).with_context(cannot)?;
    write!(file, "{}", std::process::id()).with_context(cannot)
}

/// The daemon that a process id file names, if it lives; a recycled id is another program's.
fn running(path: &Path) -> Option<u32> {
    let pid: u32 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let is_daemon = command.split(|byte| *byte == 0).nth(1) == Some(b"daemon");
    (is_daemon && pid != std::process::id()).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_has_one_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path(), 0o711).unwrap();
        assert!(lock(dir.path(), 0o711).unwrap_err().to_string().contains("another daemon"));
        drop(first);
        lock(dir.path(), 0o711).unwrap();
    }

    #[test]
    fn a_stale_pidfile_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/x.pid");
        write_pid(&path).unwrap();
        for text in ["", "junk", "4194305", "1"] {
            fs::write(&path, text).unwrap();
            write_pid(&path).unwrap();
        }
    }
}
