//! Values of options by name, from the command line or the file, in one form: JSON.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use serde_json::Value;

/// Values by [`super::option::Opt::name`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values(pub BTreeMap<&'static str, Value>);

impl Values {
    /// A boolean, `false` when absent.
    pub fn flag(&self, name: &str) -> bool {
        self.flag_or(name, false)
    }

    /// A boolean.
    pub fn flag_or(&self, name: &str, default: bool) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(default)
    }

    /// A text, `None` when absent or empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    /// A list of texts, empty when absent.
    pub fn list(&self, name: &str) -> Vec<String> {
        let items = self.0.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// An object of texts, empty when absent.
    pub fn map(&self, name: &str) -> BTreeMap<String, String> {
        let pairs = self.0.get(name).and_then(Value::as_object).into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }

    /// A text read as something else.
    ///
    /// # Errors
    /// Names the option and its value.
    pub fn parsed<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>, expected: &str) -> Result<Option<T>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| anyhow!("invalid value {text:?} for {name}: {expected}"))
    }
}
