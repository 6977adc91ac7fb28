//! `--restart no|always|unless-stopped|on-failure[:N]`.

use serde_json::{Value, json};

/// The JSON of `--restart`; an unknown policy is left for the daemon to refuse.
///
/// # Errors
/// Docker's text.
pub fn parse(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(json!({"Name": "", "MaximumRetryCount": 0}));
    }
    let (name, count) = match text.split_once(':') {
        None => (text, 0),
        Some((_, count)) if count.contains(':') => return Err("invalid restart policy format".into()),
        Some(("", _)) => return Err("invalid restart policy format: no policy provided before colon".into()),
        Some((name, count)) => {
            let count = count
                .parse::<i64>()
                .map_err(|_| "invalid restart policy format: maximum retry count must be an integer".to_owned())?;
            (name, count)
        }
    };
    Ok(json!({"Name": name, "MaximumRetryCount": count}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        assert_eq!(parse("on-failure:3").unwrap(), json!({"Name": "on-failure", "MaximumRetryCount": 3}));
        assert_eq!(parse("always").unwrap()["Name"], "always");
        for bad in [":1", "on-failure:x", "a:1:2"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
