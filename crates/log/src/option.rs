//! Log options (`--log-opt`), by driver, as Docker names and refuses them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, syslog, tag};

/// Size at which a file is rotated, in bytes, when `max-size` is not given.
pub const DEFAULT_MAX_SIZE_BYTES: u64 = 20 << 20;
/// Number of files kept, the live one included, when `max-file` is not given.
pub const DEFAULT_MAX_FILE: u32 = 5;
/// Size of the queue of the non-blocking mode, in bytes, when `max-buffer-size` is not given (Docker's).
pub const DEFAULT_BUFFER_BYTES: usize = 1 << 20;

const TAG_OPTIONS: &[&str] = &["labels", "labels-regex", "env", "env-regex", "tag"];
const FILE_OPTIONS: &[&str] = &["max-size", "max-file", "compress"];
const SYSLOG_OPTIONS: &[&str] = &[
    "syslog-address",
    "syslog-facility",
    "syslog-format",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
];
const ANY_OPTIONS: &[&str] = &["mode", "max-buffer-size"];

/// A driver and its options, as a container's `HostConfig.LogConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// `json-file`, `local`, `journald`, `syslog` or `none`.
    pub driver: String,
    /// `max-size` → `10m`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl LogConfig {
    /// `driver` without options.
    #[must_use]
    pub fn new(driver: &str) -> Self {
        Self { driver: driver.to_owned(), options: BTreeMap::new() }
    }

    /// Adds an option.
    #[must_use]
    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.options.insert(option.to_owned(), value.to_owned());
        self
    }

    /// How entries are handed over.
    ///
    /// # Errors
    /// [`Error::BadOption`] for another mode or size.
    pub fn mode(&self) -> Result<Mode> {
        let size = self.options.get("max-buffer-size");
        match self.options.get("mode").map(String::as_str) {
            None | Some("" | "blocking") => match size {
                Some(size) => Err(Error::bad_option(
                    "max-buffer-size",
                    size,
                    "max-buffer-size option is only supported with 'mode=non-blocking'",
                )),
                None => Ok(Mode::Blocking),
            },
            Some("non-blocking") => {
                let buffer_bytes = match size {
                    Some(size) => usize::try_from(bytes("max-buffer-size", size)?).unwrap_or(usize::MAX),
                    None => DEFAULT_BUFFER_BYTES,
                };
                Ok(Mode::NonBlocking { buffer_bytes })
            }
            Some(other) => Err(Error::bad_option("mode", other, "use blocking or non-blocking")),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self::new("json-file")
    }
}

/// How entries are handed to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The container waits for its log.
    Blocking,
    /// The container never waits: what does not fit in the queue is lost.
    NonBlocking {
        /// Size of the queue in bytes.
        buffer_bytes: usize,
    },
}

/// Whether `docker logs` can read what the driver keeps.
#[must_use]
pub fn is_readable(driver: &str) -> bool {
    matches!(driver, "json-file" | "local" | "")
}

/// Checks every option of a driver before anything is opened.
///
/// # Errors
/// [`Error::UnknownDriver`], [`Error::UnknownOption`] or [`Error::BadOption`], each naming what was refused.
pub fn validate(driver: &str, options: &BTreeMap<String, String>) -> Result<()> {
    let sets: &[&[&str]] = match driver {
        "none" => return Ok(()),
        "json-file" | "" => &[ANY_OPTIONS, FILE_OPTIONS, TAG_OPTIONS],
        "local" => &[ANY_OPTIONS, FILE_OPTIONS],
        "journald" => &[ANY_OPTIONS, TAG_OPTIONS],
        "syslog" => &[ANY_OPTIONS, TAG_OPTIONS, SYSLOG_OPTIONS],
        other => return Err(Error::UnknownDriver(other.to_owned())),
    };
    if let Some(option) = options.keys().find(|key| !sets.iter().any(|set| set.contains(&key.as_str()))) {
        let driver = if driver.is_empty() { "json-file" } else { driver };
        return Err(Error::UnknownOption { option: option.clone(), driver: driver.to_owned() });
    }
    let config = LogConfig { driver: driver.to_owned(), options: options.clone() };
    config.mode()?;
    rotation(&config)?;
    tag::Selection::parse(&config)?;
    if driver == "syslog" {
        syslog::check(&config)?;
    }
    Ok(())
}

/// When files are put aside, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// Size in bytes that a file does not pass; `None` is unbounded.
    pub max_size_bytes: Option<u64>,
    /// Files kept, the live one included; at least 1.
    pub max_file: u32,
    /// Files put aside are compressed with gzip.
    pub compress: bool,
}

/// Reads `max-size`, `max-file` and `compress`.
pub(crate) fn rotation(config: &LogConfig) -> Result<Rotation> {
    let max_size_bytes = match config.options.get("max-size").map(String::as_str) {
        None => Some(DEFAULT_MAX_SIZE_BYTES),
        Some("-1") => None,
        Some(text) => Some(bytes("max-size", text)?),
    };
    let max_file = match config.options.get("max-file") {
        None => DEFAULT_MAX_FILE,
        Some(text) => match text.parse::<u32>() {
            Ok(0) => return Err(Error::bad_option("max-file", text, "max-file cannot be less than 1")),
            Ok(number @ 1..=10_000) => number,
            _ => return Err(Error::bad_option("max-file", text, "use a number from 1 to 10000")),
        },
    };
    let asked = config.options.get("compress");
    let compress = match asked.map(String::as_str) {
        None => config.driver == "local" && max_file > 1,
        Some(text) => boolean(text).ok_or_else(|| Error::bad_option("compress", text, "use true or false"))?,
    };
    if compress && (max_file < 2 || max_size_bytes.is_none()) {
        let why = "compress cannot be true when max-file is less than 2 or max-size is not set";
        return Err(Error::bad_option("compress", "true", why));
    }
    Ok(Rotation { max_size_bytes, max_file, compress })
}

/// A positive size.
fn bytes(option: &str, text: &str) -> Result<u64> {
    match berth_kit::size::parse_bytes(text) {
        Ok(size) if size > 0 => Ok(size.unsigned_abs()),
        _ => Err(Error::bad_option(option, text, "use a positive size such as 10m")),
    }
}

/// Go's `strconv.ParseBool`.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(driver: &str, pairs: &[(&str, &str)]) -> std::result::Result<(), String> {
        let options = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        validate(driver, &options).map_err(|error| error.to_string())
    }

    #[test]
    fn unknown_names_are_refused_in_dockers_words() {
        assert_eq!(check("json-file", &[("x", "1")]).unwrap_err(), "unknown log opt 'x' for json-file log driver");
        assert_eq!(check("local", &[("tag", "a")]).unwrap_err(), "unknown log opt 'tag' for local log driver");
        assert_eq!(check("splunk", &[]).unwrap_err(), "logger: no log driver named 'splunk' is registered");
    }

    #[test]
    fn bad_values_name_their_option() {
        for (driver, option, value) in [
            ("json-file", "max-size", "many"),
            ("json-file", "max-size", "0"),
            ("json-file", "max-size", "-5m"),
            ("json-file", "max-file", "0"),
            ("json-file", "max-file", "-1"),
            ("json-file", "max-file", "99999999999"),
            ("local", "compress", "maybe"),
            ("local", "mode", "sometimes"),
            ("local", "max-buffer-size", "1m"),
            ("json-file", "labels-regex", "("),
            ("json-file", "tag", "{{.Nothing}}"),
            ("json-file", "tag", "{{.ID"),
            ("syslog", "syslog-facility", "kitchen"),
            ("syslog", "syslog-format", "rfc1"),
            ("syslog", "syslog-address", "carrier-pigeon://x"),
            ("syslog", "syslog-address", "tcp+tls://h:1"),
            ("syslog", "syslog-address", "udp://"),
        ] {
            let error = check(driver, &[(option, value)]).unwrap_err();
            assert!(error.contains(option), "{driver} {option}={value}: {error}");
        }
    }

    #[test]
    fn good_values_pass() {
        check("json-file", &[("max-size", "10m"), ("max-file", "3"), ("compress", "true"), ("tag", "{{.Name}}/x")])
            .unwrap();
        check("json-file", &[("max-size", "-1"), ("labels", "a,b"), ("env-regex", "^A")]).unwrap();
        check("local", &[("mode", "non-blocking"), ("max-buffer-size", "4m")]).unwrap();
        check("none", &[("anything", "goes")]).unwrap();
        check("syslog", &[("syslog-address", "udp://127.0.0.1:514"), ("syslog-facility", "local3")]).unwrap();
    }

    #[test]
    fn logs_are_bounded_by_default() {
        let bounded = Rotation { max_size_bytes: Some(20 << 20), max_file: 5, compress: false };
        assert_eq!(rotation(&LogConfig::new("json-file")).unwrap(), bounded);
        assert_eq!(rotation(&LogConfig::new("local")).unwrap(), Rotation { compress: true, ..bounded });
    }
}
