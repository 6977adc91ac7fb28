//! Points in time on the command line, made absolute before they are sent: the daemon's clock may differ.

use crate::call::Failure;
use berth_kit::time::{self, Timestamp};

/// Unix seconds with nine fraction digits; empty stays empty.
///
/// # Errors
/// Docker's text.
pub fn unix(text: &str) -> Result<String, Failure> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let at = time::parse_point(text, Timestamp::now())
        .map_err(|_| Failure::new(format!("failed to parse value as time or duration: {text:?}")))?;
    Ok(format!("{}.{:09}", at.as_second(), at.subsec_nanosecond()))
}

/// [`unix`] whose refusal names the flag, as `logs` does it.
///
/// # Errors
/// Docker's text.
pub fn unix_of(text: &str, flag: &str) -> Result<String, Failure> {
    unix(text).map_err(|e| Failure::new(format!("invalid value for {flag:?}: {}", e.text)))
}
