//! Filters of lists and prunes: the values of a key are alternatives, keys must all match.

use std::collections::BTreeMap;

use crate::{Error, Record, Result};

/// Key to values.
pub type Terms = BTreeMap<String, Vec<String>>;

/// Refuses keys other than `known`.
pub(crate) fn check(terms: &Terms, known: &[&str]) -> Result<()> {
    match terms.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Error::InvalidFilter(key.clone())),
        None => Ok(()),
    }
}

/// A key whose value is a boolean as Docker writes them; absent is `None`.
pub(crate) fn flag(terms: &Terms, key: &str) -> Result<Option<bool>> {
    let Some(value) = terms.get(key).and_then(|values| values.first()) else { return Ok(None) };
    match value.as_str() {
        "1" | "true" | "True" | "TRUE" | "t" | "T" => Ok(Some(true)),
        "0" | "false" | "False" | "FALSE" | "f" | "F" => Ok(Some(false)),
        _ => Err(Error::InvalidFilter(format!("{key}={value}"))),
    }
}

/// Whether name, driver and labels of `record` pass.
pub(crate) fn matches(terms: &Terms, record: &Record) -> bool {
    let any = |key: &str, test: &dyn Fn(&str) -> bool| {
        terms.get(key).is_none_or(|values| values.is_empty() || values.iter().any(|value| test(value)))
    };
    let all = |key: &str, test: &dyn Fn(&str) -> bool| {
        terms.get(key).is_none_or(|values| values.iter().all(|value| test(value)))
    };
    any("name", &|value| record.name.contains(value))
        && any("driver", &|value| record.driver == value)
        && all("label", &|value| labelled(record, value))
        && all("label!", &|value| !labelled(record, value))
}

fn labelled(record: &Record, term: &str) -> bool {
    match term.split_once('=') {
        Some((key, value)) => record.labels.get(key).is_some_and(|have| have == value),
        None => record.labels.contains_key(term),
    }
}
