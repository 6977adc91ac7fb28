//! Numbers as Go's `strconv` and Docker's option types read them, with their error texts.

use berth_kit::{size, time};

/// Reads `1`, `t`, `TRUE`, ... (Go's `ParseBool`).
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Judges a switch's `=value`.
pub fn check_bool(text: &str) -> Result<(), String> {
    boolean(text).map(drop).ok_or_else(|| format!("strconv.ParseBool: parsing {text:?}: invalid syntax"))
}

/// Reads a signed number in base 10, 16 (`0x`), 8 (`0o`, `0`) or 2 (`0b`).
pub fn int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let value = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -value } else { value }).ok()
}

/// Judges a signed number.
pub fn check_int(text: &str) -> Result<(), String> {
    int(text).map(drop).ok_or_else(|| number_text("ParseInt", text))
}

/// Judges an unsigned 16-bit number.
pub fn check_u16(text: &str) -> Result<(), String> {
    match int(text) {
        Some(0..=65535) => Ok(()),
        _ => Err(number_text("ParseUint", text)),
    }
}

fn number_text(function: &str, text: &str) -> String {
    let digits = text.trim_start_matches(['-', '+']);
    let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let signed_for_unsigned = function == "ParseUint" && text.starts_with('-');
    let why = if whole && !signed_for_unsigned { "value out of range" } else { "invalid syntax" };
    format!("strconv.{function}: parsing {text:?}: {why}")
}

/// Judges a size; `-1` is unlimited where the flag's use allows it.
pub fn check_bytes(text: &str) -> Result<(), String> {
    size::parse_bytes(text).map(drop).map_err(|e| e.to_string())
}

/// Judges a size that may be `-1`.
pub fn check_swap(text: &str) -> Result<(), String> {
    if text == "-1" { Ok(()) } else { check_bytes(text) }
}

/// Judges a Go duration.
pub fn check_duration(text: &str) -> Result<(), String> {
    match time::parse_duration(text) {
        Ok(_) => Ok(()),
        Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            Err(format!("time: missing unit in duration {text:?}"))
        }
        Err(_) => Err(format!("time: invalid duration {text:?}")),
    }
}

/// Reads a number of CPUs as billionths.
pub fn cpus(text: &str) -> Result<i64, String> {
    let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
    let refuse = || format!("failed to parse {text} as a rational number");
    let value = numerator.parse::<f64>().map_err(|_| refuse())? / denominator.parse::<f64>().map_err(|_| refuse())?;
    let nano = value * 1e9;
    if !nano.is_finite() || nano.abs() >= i64::MAX as f64 {
        return Err(refuse());
    }
    if (nano - nano.round()).abs() > 1e-3 {
        return Err("value is too precise".into());
    }
    Ok(nano.round() as i64)
}

/// Judges a number of CPUs.
pub fn check_cpus(text: &str) -> Result<(), String> {
    cpus(text).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        for (text, value) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("0x1f", Some(31)),
            ("010", Some(8)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("", None),
            ("--1", None),
            ("1 ", None),
        ] {
            assert_eq!(int(text), value, "{text:?}");
        }
        assert_eq!(check_int("x").unwrap_err(), "strconv.ParseInt: parsing \"x\": invalid syntax");
        assert_eq!(check_u16("70000").unwrap_err(), "strconv.ParseUint: parsing \"70000\": value out of range");
    }

    #[test]
    fn processors() {
        assert_eq!(cpus("1.5"), Ok(1_500_000_000));
        assert_eq!(cpus("1/4"), Ok(250_000_000));
        assert_eq!(cpus(".5"), Ok(500_000_000));
        assert_eq!(cpus("x").unwrap_err(), "failed to parse x as a rational number");
        assert_eq!(cpus("1.0000000001").unwrap_err(), "value is too precise");
        assert!(cpus("1/0").is_err());
    }

    #[test]
    fn durations() {
        assert_eq!(check_duration("5").unwrap_err(), "time: missing unit in duration \"5\"");
        assert_eq!(check_duration("x").unwrap_err(), "time: invalid duration \"x\"");
        assert!(check_duration("1m30s").is_ok());
    }
}
