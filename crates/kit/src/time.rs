//! Times as Docker writes and reads them. All instants are UTC [`Timestamp`]s with nanoseconds.

pub use jiff::Timestamp;

/// Docker's zero time, written for events that never happened.
pub const ZERO: &str = "0001-01-01T00:00:00Z";

/// RFC 3339 with nine fraction digits, trailing zeros dropped as Go does: `2026-01-02T03:04:05.123Z`.
#[must_use]
pub fn format_nano(at: Timestamp) -> String {
    at.to_string()
}

/// [`format_nano`], or [`ZERO`] for `None`.
#[must_use]
pub fn format_optional(at: Option<Timestamp>) -> String {
    at.map_or_else(|| ZERO.to_owned(), format_nano)
}

/// Why a time was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid time: '{0}' (use a Unix time, an RFC 3339 time, or a duration such as 10m)")]
pub struct InvalidTime(pub String);

/// Reads the times of `--since` and `--until`: Unix seconds with optional fraction, RFC 3339 with or without zone
/// (UTC assumed), a date, or a Go duration counted back from `now`.
///
/// # Errors
/// [`InvalidTime`] for anything else.
pub fn parse_point(text: &str, now: Timestamp) -> Result<Timestamp, InvalidTime> {
    let refuse = || InvalidTime(text.to_owned());
    if let Some(at) = parse_unix(text) {
        return Ok(at);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(local) = text.parse::<jiff::civil::DateTime>() {
        return local.to_zoned(jiff::tz::TimeZone::UTC).map(|z| z.timestamp()).map_err(|_| refuse());
    }
    let back_ns = parse_duration(text).map_err(|_| refuse())?;
    now.checked_sub(jiff::SignedDuration::from_nanos(back_ns)).map_err(|_| refuse())
}

fn parse_unix(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i32 = format!("{fraction:0<9}").parse().ok()?;
    Timestamp::new(seconds, nanoseconds).ok()
}

/// Reads a Go duration (`1h30m`, `250ms`, `1.5s`) as nanoseconds.
///
/// # Errors
/// [`InvalidTime`] when a unit is missing or unknown, or the value overflows.
pub fn parse_duration(text: &str) -> Result<i64, InvalidTime> {
    let refuse = || InvalidTime(text.to_owned());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(refuse());
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(refuse)?;
        let number: f64 = rest[..end].parse().map_err(|_| refuse())?;
        rest = &rest[end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit_ns = match &rest[..unit_end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(refuse()),
        };
        total += number * unit_ns;
        rest = &rest[unit_end..];
    }
    if total >= i64::MAX as f64 {
        return Err(refuse());
    }
    let ns = total.round() as i64;
    Ok(if negative { -ns } else { ns })
}

/// Go's text of a duration: `1m30s`, `250ms`, `0s`.
#[must_use]
pub fn format_duration(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let sign = if ns < 0 { "-" } else { "" };
    let total = ns.unsigned_abs();
    let small = |unit_ns: u64, unit: &str| format!("{sign}{}{unit}", decimal(total, unit_ns));
    match total {
        0..1_000 => small(1, "ns"),
        1_000..1_000_000 => small(1_000, "µs"),
        1_000_000..1_000_000_000 => small(1_000_000, "ms"),
        _ => {
            let minutes_total = total / 60_000_000_000;
            let seconds = decimal(total % 60_000_000_000, 1_000_000_000);
            match (minutes_total / 60, minutes_total % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

fn decimal(value: u64, unit: u64) -> String {
    let (whole, fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{}", format!("{fraction:0width$}").trim_end_matches('0'))
}

/// How long ago or how long, in the words of Docker's tables: `Less than a second`, `5 seconds`, `About an hour`.
#[must_use]
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds as f64 / 3600.0).round() as i64);
    match seconds {
        i64::MIN..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for (text, ns) in [("1h30m0s", 5_400_000_000_000), ("250ms", 250_000_000), ("1.5s", 1_500_000_000), ("0s", 0)] {
            assert_eq!(parse_duration(text), Ok(ns));
            assert_eq!(format_duration(ns), text);
        }
        assert!(parse_duration("5").is_err() && parse_duration("").is_err() && parse_duration("1y").is_err());
    }

    #[test]
    fn points_in_every_form() {
        let now = Timestamp::new(1_700_000_000, 0).unwrap();
        assert_eq!(parse_point("1600000000.5", now).unwrap(), Timestamp::new(1_600_000_000, 500_000_000).unwrap());
        assert_eq!(parse_point("10s", now).unwrap().as_second(), 1_699_999_990);
        assert_eq!(parse_point("2023-11-14T22:13:20Z", now).unwrap(), now);
        assert_eq!(parse_point("2023-11-14T22:13:20", now).unwrap(), now);
        assert!(parse_point("yesterday", now).is_err());
    }

    #[test]
    fn human_words() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (86400 * 3, "3 days"),
        ] {
            assert_eq!(human_duration(seconds), words);
        }
    }
}
