//! The last words of a monitor and of its guest's kernel: kept in memory, bounded, shown when a machine fails.

use std::{collections::VecDeque, os::fd::OwnedFd};

/// How much is kept, in bytes.
const KEPT_BYTES: usize = 16 << 10;
/// How many lines are shown.
const LINES: usize = 12;

/// See the module.
#[derive(Default)]
pub(super) struct Console {
    pub pipe: Option<OwnedFd>,
    kept: VecDeque<u8>,
}

impl Console {
    /// Reads what there is. `false` at the end of the pipe.
    pub fn read(&mut self) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::read(pipe, &mut buffer[..]) {
                Ok(0) => return false,
                Ok(len) => self.kept.extend(&buffer[..len]),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
            let excess = self.kept.len().saturating_sub(KEPT_BYTES);
            self.kept.drain(..excess);
        }
        true
    }

    /// The last lines, to be put behind a sentence; empty without any.
    pub fn tail(&mut self) -> String {
        self.read();
        let bytes: Vec<u8> = self.kept.iter().copied().collect();
        let text: String =
            String::from_utf8_lossy(&bytes).chars().filter(|sign| *sign == '\n' || !sign.is_control()).collect();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let shown = lines[lines.len().saturating_sub(LINES)..].join("\n");
        if shown.is_empty() { shown } else { format!("; its last words:\n{shown}") }
    }
}
