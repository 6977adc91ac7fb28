//! Where failures are told: standard error, and the file that the caller reads (`--log`, `--log-format`).

use std::io::Write;

use serde_json::json;

use crate::error::Error;
use crate::grammar::Global;

/// Tells a failure to everybody who wants to know.
pub fn failure(global: &Global, error: &Error) {
    tell(global, "error", &error.told());
}

/// Tells what did not go as asked, but did not stop the call.
pub fn warning(global: &Global, message: &str) {
    tell(global, "warning", message);
}

fn tell(global: &Global, level: &str, message: &str) {
    let now = jiff::Timestamp::now();
    let line = if global.log_json {
        json!({"level": level, "msg": message, "time": now.to_string()}).to_string()
    } else {
        format!("time=\"{now}\" level={level} msg={message:?}")
    };
    if let Some(path) = &global.log {
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
        // A log that cannot be written leaves standard error.
        let _ = opened.and_then(|mut file| writeln!(file, "{line}"));
    }
    let _ = writeln!(std::io::stderr(), "berth runtime: {message}");
}
