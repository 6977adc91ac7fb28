//! Small texts of Docker's tables: shortened ids, ages, cut columns.

use berth_kit::time;
use jiff::Timestamp;

/// `text` cut to `width` characters, the last of them an ellipsis.
#[must_use]
pub fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The user's time zone; tests have none.
#[must_use]
pub fn zone() -> jiff::tz::TimeZone {
    if cfg!(test) { jiff::tz::TimeZone::UTC } else { jiff::tz::TimeZone::system() }
}

/// `5 seconds ago` for a time in Unix seconds; `N/A` for the zero time.
#[must_use]
pub fn ago(unix_s: i64) -> String {
    if unix_s <= 0 {
        return "N/A".to_owned();
    }
    format!("{} ago", time::human_duration(Timestamp::now().as_second() - unix_s))
}

/// `2026-01-02 03:04:05 +0000 UTC` in the local zone, as Go prints a time.
#[must_use]
pub fn created_at(unix_s: i64) -> String {
    let Ok(at) = Timestamp::from_second(unix_s) else { return String::new() };
    let zoned = at.to_zoned(zone());
    let zone = zoned.strftime("%Z").to_string();
    format!("{} {zone}", zoned.strftime("%Y-%m-%d %H:%M:%S %z"))
}

/// The time in the local zone with seconds: `2026-01-02T03:04:05Z`.
#[must_use]
pub fn rfc3339(unix_s: i64) -> String {
    let Ok(at) = Timestamp::from_second(unix_s) else { return String::new() };
    let zoned = at.to_zoned(zone());
    if zoned.offset().is_zero() {
        return zoned.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    }
    zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// Decimal units with up to four significant digits, as Docker counts disk space: `1.984MB`.
#[must_use]
pub fn space(bytes: u64) -> String {
    const UNITS: &[&str] = &["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

/// The reason of `error` as Go writes it: lower case, without the number.
#[must_use]
pub fn os(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_characters() {
        assert_eq!(ellipsis("abc", 3), "abc");
        assert_eq!(ellipsis("abcd", 3), "ab…");
        assert_eq!(ellipsis("ééééé", 3), "éé…");
    }

    #[test]
    fn zero_time_is_unknown() {
        assert_eq!(ago(0), "N/A");
        assert_eq!(created_at(0).len(), "1970-01-01 00:00:00 +0000 UTC".len());
    }

    #[test]
    fn space_like_docker() {
        for (bytes, text) in
            [(0, "0B"), (1_984_000, "1.984MB"), (999, "999B"), (12_345, "12.35kB"), (2_000_000_000, "2GB")]
        {
            assert_eq!(space(bytes), text);
        }
    }

    #[test]
    fn kernel_texts_like_go() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(os(&error), "no such file or directory");
    }
}
