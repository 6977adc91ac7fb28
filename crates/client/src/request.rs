//! A call before it is sent: method, path, query, headers, body.

use crate::{Body, Error, Result};
use bytes::Bytes;
use hyper::Method;
use serde::Serialize;

/// A call of the Engine API; its path has no version.
pub struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

impl Request {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: String::new(), headers: Vec::new(), body: Body::empty() }
    }

    /// A GET of `path`, whose parts were escaped by [`segment`].
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A HEAD of `path`.
    #[must_use]
    pub fn head(path: impl Into<String>) -> Self {
        Self::new(Method::HEAD, path)
    }

    /// A POST to `path`.
    #[must_use]
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// A PUT to `path`.
    #[must_use]
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    /// A PATCH of `path`.
    #[must_use]
    pub fn patch(path: impl Into<String>) -> Self {
        Self::new(Method::PATCH, path)
    }

    /// A DELETE of `path`.
    #[must_use]
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Adds `name=value`; an empty value is left out.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.push(name, value);
        }
        self
    }

    /// Adds `name=1` when `on`.
    #[must_use]
    pub fn on(mut self, name: &str, on: bool) -> Self {
        if on {
            self.push(name, "1");
        }
        self
    }

    /// Adds `name=value` for every value.
    #[must_use]
    pub fn each<'a>(mut self, name: &str, values: impl IntoIterator<Item = &'a str>) -> Self {
        for value in values {
            self.push(name, value);
        }
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends `value` as JSON.
    ///
    /// # Errors
    /// [`Error::Decode`] when it cannot be written as JSON (a map with keys that are no text).
    pub fn json(mut self, value: &impl Serialize) -> Result<Self> {
        let bytes =
            serde_json::to_vec(value).map_err(|e| Error::Decode { path: self.path.clone(), reason: e.to_string() })?;
        self.body = Body::Bytes(Bytes::from(bytes));
        Ok(self.header("content-type", "application/json"))
    }

    /// Sends `body` under the media type `media`.
    #[must_use]
    pub fn body(mut self, body: Body, media: &str) -> Self {
        self.body = body;
        self.header("content-type", media)
    }

    fn push(&mut self, name: &str, value: &str) {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        escape(&mut self.query, name, b"");
        self.query.push('=');
        escape(&mut self.query, value, b"");
    }
}

/// Escapes a name for use in a path; slashes of image names stay.
#[must_use]
pub fn segment(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    escape(&mut text, name, b"/:@");
    text
}

fn escape(into: &mut String, text: &str, keep: &[u8]) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.contains(&byte) {
            into.push(byte as char);
        } else {
            into.push('%');
            into.push_str(&format!("{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_would_change_the_meaning() {
        assert_eq!(segment("a/b:c@d"), "a/b:c@d");
        assert_eq!(segment("a?b#c d\n"), "a%3Fb%23c%20d%0A");
        let request = Request::get("/x").text("a", "1&2").text("b", "").on("c", true).on("d", false);
        assert_eq!(request.query, "a=1%262&c=1");
    }
}
