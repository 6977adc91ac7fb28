//! `--cache-from` and `--cache-to`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::context;
use crate::call::{Call, Failure};

/// The fields of one flag; a name alone means a registry.
fn fields(text: &str) -> Result<BTreeMap<&str, &str>, Failure> {
    if !text.contains('=') {
        return Ok(BTreeMap::from([("type", "registry"), ("ref", text)]));
    }
    let pair = |field: &'_ str| -> Result<(usize, usize), Failure> {
        let at = field.find('=').ok_or_else(|| Failure::new(format!("invalid cache field {field:?}")))?;
        Ok((at, field.len()))
    };
    let mut found = BTreeMap::new();
    for field in text.split(',') {
        let (at, _) = pair(field)?;
        found.insert(&field[..at], &field[at + 1..]);
    }
    let known = ["type", "ref", "mode", "src", "dest", "image-manifest", "oci-mediatypes", "compression"];
    match found.keys().find(|name| !known.contains(name)) {
        Some(name) => Err(Failure::new(format!("cache option {name:?} is not there"))),
        None => Ok(found),
    }
}

/// What is sent for `--cache-from`; folders go to the engine.
pub async fn from(call: &Call) -> Result<Value, Failure> {
    let mut all = Vec::new();
    for text in call.flags.list("cache-from") {
        let fields = fields(text)?;
        let text = |name: &str| fields.get(name).copied().unwrap_or_default();
        all.push(match text("type") {
            "local" => {
                // A cache that is not there yet is none.
                if !std::path::Path::new(text("src")).join("index.json").exists() {
                    continue;
                }
                let id = context::send(call.client()?, text("src"), "").await?;
                json!({ "type": "local", "context": id })
            }
            kind => json!({ "type": kind, "ref": text("ref") }),
        });
    }
    Ok(Value::Array(all))
}

/// What is sent for `--cache-to`.
pub fn to(call: &Call) -> Result<Value, Failure> {
    let mut all = Vec::new();
    for text in call.flags.list("cache-to") {
        let fields = fields(text)?;
        let text = |name: &str| fields.get(name).copied().unwrap_or_default();
        let mut value = json!({ "type": text("type"), "mode": text("mode") });
        match text("type") {
            "local" if text("dest").is_empty() => {
                return Err(Failure::new("dest is required for a local cache".to_owned()));
            }
            "local" | "inline" => {}
            _ => value["ref"] = text("ref").into(),
        }
        all.push(value);
    }
    Ok(Value::Array(all))
}

/// Brings the cache that was written for this client.
pub async fn receive(call: &Call, outcome: &Value) -> Result<(), Failure> {
    for text in call.flags.list("cache-to") {
        let fields = fields(text)?;
        if fields.get("type") != Some(&"local") {
            continue;
        }
        let place = fields.get("dest").copied().unwrap_or_default();
        let reference = berth_client::segment(outcome["reference"].as_str().unwrap_or_default());
        let request = berth_client::Request::get(format!("/berth/build/cache/{reference}"));
        super::output::folder(call.client()?, request, place.into()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read() {
        let read = |text: &'static str| fields(text).map_err(|_| ()).expect("fields");
        assert_eq!(read("host/x")["ref"], "host/x");
        assert_eq!(read("type=local,src=a,mode=max")["mode"], "max");
        assert!(fields("type=registry,evil=1").is_err());
        assert!(fields("type=registry,x").is_err());
    }
}
