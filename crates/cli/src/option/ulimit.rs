//! `--ulimit NAME=SOFT[:HARD]`.

use berth_spec::ulimit::NAMES;
use serde_json::{Value, json};

/// Judges one `--ulimit`.
pub fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// The JSON of one `--ulimit`; -1 is unlimited.
///
/// # Errors
/// Docker's text.
pub fn parse(text: &str) -> Result<Value, String> {
    let (name, limits) = text.split_once('=').ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
    if !NAMES.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let number =
        |text: &str| text.parse::<i64>().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
    let (soft, hard) = match limits.split(':').collect::<Vec<_>>().as_slice() {
        [soft] => (number(soft)?, number(soft)?),
        [soft, hard] => (number(soft)?, number(hard)?),
        _ => return Err(format!("too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")),
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        let shown = if soft == -1 { "-1".to_owned() } else { soft.to_string() };
        return Err(match soft {
            -1 => format!(
                "ulimit soft limit must be less than or equal to hard limit: soft: {shown} (unlimited), hard: {hard}"
            ),
            _ => format!("ulimit soft limit must be less than or equal to hard limit: {shown} > {hard}"),
        });
    }
    Ok(json!({"Name": name, "Hard": hard, "Soft": soft}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        assert_eq!(parse("nofile=1:2").unwrap(), json!({"Name": "nofile", "Hard": 2, "Soft": 1}));
        assert_eq!(parse("core=-1").unwrap(), json!({"Name": "core", "Hard": -1, "Soft": -1}));
        for (text, why) in [
            ("x", "invalid ulimit argument: x"),
            ("x=1", "invalid ulimit type: x"),
            ("nofile=a", "strconv.ParseInt: parsing \"a\": invalid syntax"),
            ("nofile=2:1", "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
            ("nofile=1:2:3", "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`"),
        ] {
            assert_eq!(parse(text).unwrap_err(), why);
        }
    }
}
