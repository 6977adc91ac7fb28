//! `--device-{read,write}-{bps,iops} PATH:RATE` and `--blkio-weight-device PATH:WEIGHT`.

use serde_json::{Value, json};

fn split(text: &str) -> Result<(&str, &str), String> {
    let (path, rate) = text.split_once(':').ok_or_else(|| format!("bad format: {text}"))?;
    match path.starts_with("/dev/") {
        true => Ok((path, rate)),
        false => Err(format!("bad format for device path: {text}")),
    }
}

/// The JSON of a rate in bytes per second.
///
/// # Errors
/// Docker's text.
pub fn bytes(text: &str) -> Result<Value, String> {
    let (path, rate) = split(text)?;
    let rate = berth_kit::size::parse_bytes(rate).ok().filter(|rate| *rate >= 0).ok_or_else(|| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. Number must be a \
             positive integer. Unit is optional and can be kb, mb, or gb"
        )
    })?;
    Ok(json!({"Path": path, "Rate": rate}))
}

/// The JSON of a rate in operations per second.
///
/// # Errors
/// Docker's text.
pub fn operations(text: &str) -> Result<Value, String> {
    let (path, rate) = split(text)?;
    let rate: u64 = rate.parse().map_err(|_| {
        format!(
            "invalid rate for device: {text}. The correct format is <device-path>:<number>. Number must be a positive \
             integer"
        )
    })?;
    Ok(json!({"Path": path, "Rate": rate}))
}

/// The JSON of a weight.
///
/// # Errors
/// Docker's text.
pub fn weight(text: &str) -> Result<Value, String> {
    let (path, weight) = split(text)?;
    match weight.parse::<u16>() {
        Ok(weight) if weight == 0 || (10..=1000).contains(&weight) => Ok(json!({"Path": path, "Weight": weight})),
        _ => Err(format!("invalid weight for device: {text}")),
    }
}

/// Judges a rate in bytes.
pub fn check_bytes(text: &str) -> Result<(), String> {
    bytes(text).map(drop)
}

/// Judges a rate in operations.
pub fn check_operations(text: &str) -> Result<(), String> {
    operations(text).map(drop)
}

/// Judges a weight.
pub fn check_weight(text: &str) -> Result<(), String> {
    weight(text).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        assert_eq!(bytes("/dev/sda:1mb").unwrap(), json!({"Path": "/dev/sda", "Rate": 1 << 20}));
        assert_eq!(operations("/dev/sda:10").unwrap()["Rate"], 10);
        assert_eq!(weight("/dev/sda:10").unwrap()["Weight"], 10);
        assert_eq!(bytes("x").unwrap_err(), "bad format: x");
        assert_eq!(bytes("sda:1").unwrap_err(), "bad format for device path: sda:1");
        assert_eq!(weight("/dev/sda:5").unwrap_err(), "invalid weight for device: /dev/sda:5");
        assert!(operations("/dev/sda:x").is_err());
    }
}
