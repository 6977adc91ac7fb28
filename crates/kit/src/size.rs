//! Byte sizes as Docker writes and reads them.

/// Why a size was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid size: '{0}'")]
pub struct InvalidSize(pub String);

/// Reads `512`, `64k`, `1.5g`, `10MB`, `2GiB` as bytes; units are powers of 1024 (Docker's `RAMInBytes`).
///
/// # Errors
/// [`InvalidSize`] for anything else, and for sizes that do not fit in an `i64`.
pub fn parse_bytes(text: &str) -> Result<i64, InvalidSize> {
    let refuse = || InvalidSize(text.to_owned());
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(refuse()),
    };
    let factor = 1i64 << (10 * power);
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(factor).ok_or_else(refuse);
    }
    let value = number.parse::<f64>().map_err(|_| refuse())? * factor as f64;
    if value.is_finite() && value < i64::MAX as f64 { Ok(value as i64) } else { Err(refuse()) }
}

/// Decimal units with up to four significant digits: `77.8MB`, `1.23kB`, `0B`.
#[must_use]
pub fn format_decimal(bytes: u64) -> String {
    format_with(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], 3)
}

/// Binary units with up to four significant digits: `512MiB`, `1.953GiB`.
#[must_use]
pub fn format_binary(bytes: u64) -> String {
    format_with(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], 4)
}

fn format_with(bytes: u64, base: f64, units: &[&str], digits: usize) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// `value` with `digits` significant digits and no trailing zeros, like C's `%.{digits}g` below the exponent form.
fn significant(value: f64, digits: usize) -> String {
    let whole = if value >= 1.0 { value.log10().floor() as usize + 1 } else { 1 };
    let text = format!("{value:.*}", digits.saturating_sub(whole));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_reads() {
        for (text, bytes) in [
            ("512", 512),
            ("64k", 65536),
            ("64KB", 65536),
            ("1.5g", 1_610_612_736),
            ("2GiB", 2 << 30),
            ("32 mb", 32 << 20),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_nonsense_and_overflow() {
        for text in ["", "x", "-1", "1z", "9999999999999p", "1.2.3", "inf"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn formats_like_docker() {
        assert_eq!(format_decimal(0), "0B");
        assert_eq!(format_decimal(77_800_000), "77.8MB");
        assert_eq!(format_decimal(1_234), "1.23kB");
        assert_eq!(format_binary(512 << 20), "512MiB");
        assert_eq!(format_binary(2_097_152_000), "1.953GiB");
    }
}
