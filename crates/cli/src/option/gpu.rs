//! `--gpus all | N | device=0,...`: read as Docker reads it; whether there are any is the daemon's to say.

use super::csv;
use serde_json::{Value, json};

/// Judges one `--gpus`.
pub fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// The JSON of one `--gpus`.
///
/// # Errors
/// Docker's text.
pub fn parse(text: &str) -> Result<Value, String> {
    let (mut driver, mut count, mut ids, mut options) = (String::new(), None, Vec::new(), serde_json::Map::new());
    let mut capabilities = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for field in csv::fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => ("count".to_owned(), field.clone()),
        };
        if seen.contains(&key) {
            return Err(format!("gpu request key '{key}' can be specified only once"));
        }
        match key.as_str() {
            "driver" => driver = value,
            "count" => count = Some(parse_count(&value)?),
            "device" => ids = value.split(',').map(str::to_owned).collect(),
            "capabilities" => capabilities.extend(value.split(',').map(str::to_owned)),
            "options" => {
                for pair in csv::fields(&value)? {
                    let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
                    options.insert(name.to_owned(), value.into());
                }
            }
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
        seen.push(key);
    }
    let count = match count {
        Some(count) => count,
        None if ids.is_empty() => 1,
        None => 0,
    };
    let ids = if ids.is_empty() { Value::Null } else { ids.into() };
    capabilities.push("gpu".to_owned());
    let capabilities = json!([capabilities]);
    Ok(json!({"Driver": driver, "Count": count, "DeviceIDs": ids, "Capabilities": capabilities, "Options": options}))
}

fn parse_count(text: &str) -> Result<i64, String> {
    match text {
        "all" => Ok(-1),
        _ => text
            .parse()
            .map_err(|_| format!("invalid count ({text}): value must be either \"all\" or an integer: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        assert_eq!(parse("all").unwrap()["Count"], -1);
        assert_eq!(parse("2").unwrap()["Count"], 2);
        assert_eq!(parse("\"device=0,1\"").unwrap()["DeviceIDs"], json!(["0", "1"]));
        assert!(parse("some").unwrap_err().starts_with("invalid count (some)"));
        assert_eq!(parse("x=1").unwrap_err(), "unexpected key 'x' in 'x=1'");
        assert_eq!(parse("1,2").unwrap_err(), "gpu request key 'count' can be specified only once");
    }
}
