//! What the guest said of late on its serial port: in memory to be shown to whoever attaches, and in a bounded log.
//!
//! ```text
//! console.log      the newest, at most 1 MiB
//! console.log.1    what was before it
//! ```

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

const RECENT_BYTES: usize = 64 << 10;
const LOG_BYTES: u64 = 1 << 20;

/// See the module.
pub struct Console {
    recent: VecDeque<u8>,
    path: PathBuf,
    log: Option<File>,
    written: u64,
}

impl Console {
    /// Logs to `path`, behind what is there. Without room for a log the console works all the same.
    pub fn open(path: &Path) -> Self {
        let log = append(path);
        let written = log.as_ref().and_then(|log| log.metadata().ok()).map_or(0, |facts| facts.len());
        Self { recent: VecDeque::new(), path: path.to_owned(), log, written }
    }

    /// Takes what the guest said.
    pub fn push(&mut self, bytes: &[u8]) {
        self.recent.extend(bytes);
        let excess = self.recent.len().saturating_sub(RECENT_BYTES);
        self.recent.drain(..excess);
        if self.written >= LOG_BYTES {
            self.turn_over();
        }
        if let Some(log) = &mut self.log
            && log.write_all(bytes).is_ok()
        {
            self.written += bytes.len() as u64;
        }
    }

    /// What the guest said of late.
    pub fn recent(&self) -> Vec<u8> {
        self.recent.iter().copied().collect()
    }

    fn turn_over(&mut self) {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        // A log that cannot be turned over begins anew: it is bounded whatever happens.
        let _ = std::fs::rename(&self.path, old).or_else(|_| std::fs::remove_file(&self.path));
        self.log = append(&self.path);
        self.written = 0;
    }
}

fn append(path: &Path) -> Option<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_and_memory_are_bounded() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("console.log");
        let mut console = Console::open(&path);
        for _ in 0..5 {
            console.push(&vec![b'a'; 1 << 19]);
        }
        console.push(b"last");
        let size = |name: &str| std::fs::metadata(dir.path().join(name)).expect("a log").len();
        assert_eq!((size("console.log.1"), size("console.log")), (1 << 20, (1 << 19) + 4));
        assert!(console.recent().len() == RECENT_BYTES && console.recent().ends_with(b"last"));
    }
}
