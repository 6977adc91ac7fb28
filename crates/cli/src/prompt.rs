//! The question before something is destroyed.

use crate::call::Failure;
use std::io::{BufRead, Write};

/// Asks on stdout; only `y` or `yes` is a yes.
///
/// # Errors
/// Stdin or stdout cannot be used.
pub fn confirm(warning: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    write!(out, "{warning}\nAre you sure you want to continue? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
