//! daemon.json: Docker's keys and forms; what does not fit is refused by name.

use std::{io::ErrorKind, path::Path};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::{
    option::{Form, Opt},
    options::OPTIONS,
    value::Values,
};

/// Reads the file; a missing one is empty unless it `must_exist`.
pub fn read(path: &Path, must_exist: bool) -> Result<Values> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            parse(&text).with_context(|| format!("unable to configure the daemon with file {}", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => Ok(Values::default()),
        Err(error) => {
            Err(error).with_context(|| format!("unable to configure the daemon with file {}", path.display()))
        }
    }
}

fn parse(text: &str) -> Result<Values> {
    let object: Map<String, Value> = match serde_json::from_str(text).context("invalid JSON")? {
        Value::Object(object) => object,
        _ => bail!("the file must hold a JSON object"),
    };
    let known = |key: &str| OPTIONS.iter().find(|option| !option.key.is_empty() && option.key == key);
    let unknown: Vec<&str> = object.keys().map(String::as_str).filter(|key| known(key).is_none()).collect();
    if !unknown.is_empty() {
        bail!("the following directives don't match any configuration option: {}", unknown.join(", "));
    }
    let mut values = Values::default();
    for (key, value) in &object {
        if let Some(option) = known(key) {
            values.0.insert(option.name(), fit(option, value)?);
        }
    }
    Ok(values)
}

fn fit(option: &Opt, value: &Value) -> Result<Value> {
    let texts = |list: &Vec<Value>| list.iter().all(Value::is_string);
    let (fits, expected) = match option.form {
        Form::Flag => (value.is_boolean(), "true or false"),
        Form::Text => (value.is_string() || value.is_number(), "a text"),
        Form::Number => (value.is_i64(), "a whole number"),
        Form::List => (value.as_array().is_some_and(texts), "a list of texts"),
        Form::Map => (value.as_object().is_some_and(|map| map.values().all(Value::is_string)), "an object of texts"),
        Form::Json => (value.is_object() || value.is_array(), "an object or a list"),
    };
    if !fits {
        bail!("invalid value {value} for {}: it must be {expected}", option.key);
    }
    // Docker takes the size of /dev/shm as text or number.
    Ok(match value {
        Value::Number(number) if option.form == Form::Text => Value::String(number.to_string()),
        other => other.clone(),
    })
}

/// Refuses options that stand in both places, with Docker's text.
pub fn refuse_conflicts(flags: &Values, file: &Values) -> Result<()> {
    let both: Vec<String> = flags
        .0
        .iter()
        .filter_map(|(name, flag)| Some((name, flag, file.0.get(name)?)))
        .map(|(name, flag, file)| format!("{name}: (from flag: {}, from file: {})", show(flag), show(file)))
        .collect();
    if both.is_empty() {
        return Ok(());
    }
    bail!("the following directives are specified both as a flag and in the configuration file: {}", both.join(", "));
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(show).collect::<Vec<_>>().join(" ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_keys_are_read() {
        let text =
            r#"{"hosts":["unix:///x"],"debug":true,"log-opts":{"max-size":"1m"},"default-shm-size":"64M","mtu":1400}"#;
        let values = parse(text).unwrap();
        assert_eq!(values.list("hosts"), ["unix:///x"]);
        assert!(values.flag("debug"));
        assert_eq!(values.number("mtu"), Some(1400));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        for (text, named) in [
            (r#"{"colour":1,"debug":true}"#, "configuration option: colour"),
            (r#"{"debug":"yes"}"#, "debug"),
            (r#"{"hosts":"unix:///x"}"#, "hosts"),
            (r#"{"log-opts":{"a":1}}"#, "log-opts"),
            (r#"{"mtu":1.5}"#, "mtu"),
            ("[]", "object"),
            ("{", "JSON"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn a_flag_and_the_same_key_are_a_conflict() {
        let file = parse(r#"{"hosts":["unix:///y"],"debug":false}"#).unwrap();
        let flags = super::super::parse::arguments(&["-H".into(), "unix:///x".into()]).unwrap();
        let error = refuse_conflicts(&flags, &file).unwrap_err().to_string();
        assert_eq!(
            error,
            "the following directives are specified both as a flag and in the configuration file: hosts: (from flag: [unix:///x], from file: [unix:///y])"
        );
    }
}
