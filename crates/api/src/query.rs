//! Query parameters. Unknown ones are ignored, as Docker does; a value that cannot be is refused by name.

use std::{convert::Infallible, str::FromStr};

use axum::{extract::FromRequestParts, http::request::Parts};
use berth_container::Filters;
use berth_kit::time::{Timestamp, parse_point};

use crate::{Error, Result, filter};

/// The query of a request, in order.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    /// Reads `a=b&c=d`.
    pub fn parse(text: &str) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        Self(serde_urlencoded::from_str(text).unwrap_or_default())
    }

    /// The first value of `name`, when it is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The first value of `name` as owned text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// A value that must be there.
    pub fn required(&self, name: &'static str) -> Result<&str> {
        self.get(name).ok_or(Error::Missing(name))
    }

    /// All values of `name`.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.clone()).collect()
    }

    /// A boolean, `false` when absent.
    pub fn flag(&self, name: &'static str) -> Result<bool> {
        self.flag_or(name, false)
    }

    /// A boolean as Docker's clients write it.
    pub fn flag_or(&self, name: &'static str, default: bool) -> Result<bool> {
        let Some(value) = self.get(name) else { return Ok(default) };
        match value.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "on" => Ok(true),
            "0" | "false" | "f" | "no" | "off" | "none" => Ok(false),
            _ => Err(refuse(name, value, "a boolean")),
        }
    }

    /// A number.
    pub fn number<T: FromStr>(&self, name: &'static str) -> Result<Option<T>> {
        let parse = |value: &str| value.parse().map_err(|_| refuse(name, value, "a number in range"));
        self.get(name).map(parse).transpose()
    }

    /// A number that must be there.
    pub fn required_number<T: FromStr>(&self, name: &'static str) -> Result<T> {
        self.number(name)?.ok_or(Error::Missing(name))
    }

    /// A point in time: Unix seconds, RFC 3339 or a duration back from now. An end of `0` means none, a beginning of
    /// `0` is that of Unix time.
    pub fn time(&self, name: &'static str) -> Result<Option<Timestamp>> {
        let Some(value) = self.get(name).filter(|value| *value != "0" || name != "until") else { return Ok(None) };
        let point = parse_point(value, Timestamp::now());
        point.map(Some).map_err(|_| refuse(name, value, "a Unix time, an RFC 3339 time or a duration"))
    }

    /// The JSON object in `filters`.
    pub fn filters(&self) -> Result<Filters> {
        let Some(text) = self.get("filters") else { return Ok(Filters::default()) };
        filter::parse(text).ok_or_else(|| refuse("filters", text, "a JSON object of names and lists of values"))
    }
}

fn refuse(name: &'static str, value: &str, expected: &'static str) -> Error {
    Error::Parameter { name, value: value.chars().take(200).collect(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_be_are_refused_by_name() {
        let query = Query::parse("all=maybe&limit=x&t=-1&since=yesterday&filters=%7B&force=1&v=True&tail=");
        assert!(query.flag("force").unwrap() && query.flag("v").unwrap() && !query.flag("absent").unwrap());
        assert_eq!(query.number::<i64>("t").unwrap(), Some(-1));
        assert_eq!(query.get("tail"), None);
        let message = |error: Error| error.to_string();
        assert!(message(query.flag("all").unwrap_err()).contains("all"));
        assert!(message(query.number::<usize>("limit").unwrap_err()).contains("limit"));
        assert!(message(query.number::<usize>("t").unwrap_err()).contains('t'));
        assert!(message(query.time("since").unwrap_err()).contains("since"));
        assert!(message(query.filters().unwrap_err()).contains("filters"));
        assert!(message(query.required("name").unwrap_err()).contains("name"));
    }
}
