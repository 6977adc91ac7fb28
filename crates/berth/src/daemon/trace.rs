//! The daemon's own log, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

use super::configuration::Configuration;

type Reload = Box<dyn Fn(&str) + Send + Sync>;

static RELOAD: std::sync::OnceLock<Reload> = std::sync::OnceLock::new();

/// Begins to log at the configured level. `BERTH_LOG` has the last word, in the form of `RUST_LOG`.
pub fn start(configuration: &Configuration) {
    let filter = std::env::var("BERTH_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let (filter, handle) = reload::Layer::new(filter.unwrap_or_else(|| at(&configuration.log_level)));
    let raw = configuration.values.flag("raw-logs");
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(!raw && std::io::stderr().is_terminal());
    let outcome = tracing_subscriber::registry().with(filter).with(lines).try_init();
    if outcome.is_ok() {
        let _ = RELOAD.set(Box::new(move |level| drop(handle.reload(at(level)))));
    }
}

/// Changes the level.
pub fn set_level(level: &str) {
    if let Some(reload) = RELOAD.get() {
        reload(level);
    }
}

fn at(level: &str) -> EnvFilter {
    let level = if level == "fatal" { "error" } else { level };
    // Other people's crates say little that helps below warnings.
    EnvFilter::new(format!("warn,berth={level},{}", BERTH.map(|name| format!("berth_{name}={level}")).join(",")))
}

const BERTH: [&str; 11] = [
    "api",
    "archive",
    "container",
    "content",
    "image",
    "machine",
    "network",
    "record",
    "snapshot",
    "supervisor",
    "volume",
];
