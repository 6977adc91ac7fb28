//! `--filter name=value` as the JSON that the API wants.

use serde_json::{Map, Value};

/// `{"name":{"value":true}}` of all filters, or an empty text for none; `extra` is added.
#[must_use]
pub fn json<'a>(given: impl Iterator<Item = &'a str>, extra: &[(&str, &str)]) -> String {
    let mut filters = Map::new();
    let split = |text: &'a str| text.split_once('=').unwrap_or((text, ""));
    let given = given.filter(|text| !text.is_empty()).map(split);
    let given = given.map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()));
    let extra = extra.iter().map(|(name, value)| ((*name).to_owned(), *value));
    for (name, value) in given.chain(extra) {
        let values = filters.entry(name).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(values) = values {
            values.insert(value.to_owned(), Value::Bool(true));
        }
    }
    if filters.is_empty() { String::new() } else { Value::Object(filters).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grouped_by_name() {
        let filters = json(["status=exited", "Status = running", "label=a=b"].into_iter(), &[("dangling", "true")]);
        let expected = r#"{"status":{"exited":true,"running":true},"label":{"a=b":true},"dangling":{"true":true}}"#;
        assert_eq!(filters, expected);
        assert_eq!(json([].into_iter(), &[]), "");
    }
}
