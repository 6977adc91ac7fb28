//! PAX extended headers: records of `length key=value\n` (POSIX.1-2024, "pax Extended Header").

/// Splits extended header data into key and value; `None` when a record does not follow the format.
pub fn records(mut data: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while !data.is_empty() {
        // Some writers pad the data with NUL bytes.
        if data.iter().all(|byte| *byte == 0) {
            break;
        }
        let space = data.iter().take(20).position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
        let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        records.push((&record[..equals], &record[equals + 1..]));
        data = &data[length..];
    }
    Some(records)
}

/// Appends one record to `data`.
pub fn push(data: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    data.extend_from_slice(length.to_string().as_bytes());
    data.push(b' ');
    data.extend_from_slice(key);
    data.push(b'=');
    data.extend_from_slice(value);
    data.push(b'\n');
}

/// Seconds and nanoseconds of a decimal time such as `1700000000.123456789` or `-1.5`.
pub fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanoseconds: u32 = format!("{:0<9}", &fraction[..fraction.len().min(9)]).parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

/// The decimal text of a time.
pub fn time_text((seconds, nanoseconds): (i64, u32)) -> String {
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let sign = if total < 0 { "-" } else { "" };
    let total = total.unsigned_abs();
    let text = format!("{sign}{}.{:09}", total / 1_000_000_000, total % 1_000_000_000);
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_at_every_length() {
        for length in [0, 1, 80, 85, 86, 87, 88, 89, 90, 91, 989, 990, 991, 9985, 9986] {
            let value = vec![b'v'; length];
            let mut data = Vec::new();
            push(&mut data, b"path", &value);
            assert_eq!(records(&data).unwrap(), [(&b"path"[..], &value[..])], "{length}");
        }
    }

    #[test]
    fn spoiled_records_are_refused() {
        for data in [&b"x"[..], b"0 a=b\n", b"99 a=b\n", b"6 a=b", b"6 a=bx", b"6 aab\n", b"-1 a=b\n", b"5 a=b\n"] {
            assert!(records(data).is_none(), "{data:?}");
        }
    }

    #[test]
    fn times_round_trip() {
        for at in [(0, 0), (1, 500_000_000), (-2, 500_000_000), (-1, 0), (1_700_000_000, 1)] {
            assert_eq!(time(time_text(at).as_bytes()), Some(at), "{at:?}");
        }
        assert!(time(b"x").is_none() && time(b"1.x").is_none());
    }
}
