//! The user's terminal: raw mode that is always undone, its size, detach keys, signals, and the session that joins it
//! with a container's streams.

pub mod keys;
pub mod raw;
pub mod session;
pub mod signals;
pub mod stdin;
pub mod write;

use std::io::IsTerminal;

/// Rows and columns of the terminal on stdout.
#[must_use]
pub fn size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Whether stderr takes colour.
#[must_use]
pub fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
