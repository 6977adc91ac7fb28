//! The `filters` parameter: `{"label": ["a=b"]}`, or with old clients `{"label": {"a=b": true}}`.

use std::collections::BTreeMap;

use berth_container::Filters;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    Set(BTreeMap<String, bool>),
}

/// Reads both forms; `None` when `text` is neither.
pub fn parse(text: &str) -> Option<Filters> {
    let raw: BTreeMap<String, Values> = serde_json::from_str(text).ok()?;
    let plain = raw.into_iter().map(|(key, values)| match values {
        Values::List(list) => (key, list),
        Values::Set(set) => (key, set.into_iter().filter(|(_, wanted)| *wanted).map(|(value, _)| value).collect()),
    });
    Some(Filters(plain.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_mean_the_same() {
        let list = parse(r#"{"label":["a=b"],"name":[]}"#).unwrap();
        let set = parse(r#"{"label":{"a=b":true,"c":false},"name":{}}"#).unwrap();
        assert_eq!(list, set);
        assert_eq!(list.get("label"), ["a=b"]);
        for text in ["", "[]", "{\"a\":1}", "{\"a\":[1]}", "{", "null"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
