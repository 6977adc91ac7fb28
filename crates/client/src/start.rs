//! Starting the daemon where nobody answers on the default socket.

use crate::{Error, Result};
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
const SILENT: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(5);

/// Runs `berth daemon` from this program's own file, detached, and waits until `socket` answers.
///
/// The daemon's output goes to `daemon.log` beside the socket.
///
/// # Errors
/// [`Error::Start`] when it cannot be run, ends, or does not answer within 10 seconds.
pub(crate) async fn daemon(socket: &Path) -> Result<()> {
    let directory = socket.parent().unwrap_or(Path::new("/"));
    let log = directory.join("daemon.log");
    let mut child = run(directory, &log).map_err(|e| Error::Start {
        reason: format!("{e} (a daemon needs root; is {} writable?)", directory.display()),
    })?;
    let begun = Instant::now();
    let mut told = false;
    loop {
        if tokio::net::UnixStream::connect(socket).await.is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            // Another client may have been first: then its daemon holds the lock, and answers soon.
            tokio::time::sleep(Duration::from_millis(200)).await;
            if tokio::net::UnixStream::connect(socket).await.is_ok() {
                return Ok(());
            }
            return Err(Error::Start { reason: format!("it ended at once ({status}); see {}", log.display()) });
        }
        if begun.elapsed() > PATIENCE {
            return Err(Error::Start {
                reason: format!("it does not answer after {PATIENCE:?}; see {}", log.display()),
            });
        }
        if begun.elapsed() > SILENT && !told {
            told = true;
            let (dim, plain) = if std::io::stderr().is_terminal() { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
            eprintln!("{dim}Starting the berth daemon (log: {}) ...{plain}", log.display());
        }
        tokio::time::sleep(POLL).await;
    }
}

fn run(directory: &Path, log: &Path) -> std::io::Result<Child> {
    std::fs::create_dir_all(directory)?;
    let output = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    Command::new(std::env::current_exe()?)
        .arg("daemon")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()
}
