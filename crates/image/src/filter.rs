//! Which images a list or prune is about (Engine API, `GET /images/json` and `POST /images/prune`, `filters`).

use std::collections::BTreeMap;

use berth_kit::time::{Timestamp, parse_point};
use berth_spec::Reference;

use crate::{Error, Result, index::Index, record::ImageRecord, resolve::find};

/// Values by key; the values of a key are alternatives, but for labels, which must all be there.
pub type Filters = BTreeMap<String, Vec<String>>;

/// Filters of a list.
pub const LIST_KEYS: &[&str] = &["before", "dangling", "label", "label!", "reference", "since", "until"];
/// Filters of a prune.
pub const PRUNE_KEYS: &[&str] = &["dangling", "label", "label!", "until"];

/// Filters, checked and resolved.
#[derive(Debug, Default)]
pub struct Matcher {
    pub dangling: Option<bool>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    labels: Vec<String>,
    not_labels: Vec<String>,
    pub references: Vec<String>,
}

impl Matcher {
    /// Checks `filters` against the keys that are known.
    ///
    /// # Errors
    /// [`Error::Filter`] names the wrong key or value; [`Error::Missing`] for an image that `before` or `since` names.
    pub fn new(index: &Index, filters: &Filters, keys: &[&str]) -> Result<Self> {
        if let Some(key) = filters.keys().find(|key| !keys.contains(&key.as_str())) {
            return Err(Error::Filter(key.clone()));
        }
        let values = |key: &str| filters.get(key).cloned().unwrap_or_default();
        let created = |key: &str| -> Result<Option<Timestamp>> {
            values(key).first().map(|name| Ok(created_at(find(index, name)?.as_ref()))).transpose()
        };
        let mut matcher = Self {
            dangling: boolean("dangling", &values("dangling"))?,
            before: created("before")?,
            since: created("since")?,
            labels: values("label"),
            not_labels: values("label!"),
            references: values("reference"),
        };
        for until in values("until") {
            let at = parse_point(&until, Timestamp::now()).map_err(|_| Error::Filter(format!("until={until}")))?;
            matcher.before = Some(matcher.before.map_or(at, |before| before.min(at)));
        }
        Ok(matcher)
    }

    /// Whether an image passes by its time and labels.
    pub fn fits(&self, image: &ImageRecord) -> bool {
        let created = created_at(image);
        let labels = image.config.config.labels.as_ref();
        let has = |wanted: &String| {
            let (key, value) =
                wanted.split_once('=').map_or((wanted.as_str(), None), |(key, value)| (key, Some(value)));
            labels.and_then(|labels| labels.get(key)).is_some_and(|found| value.is_none_or(|value| value == found))
        };
        self.before.is_none_or(|before| created < before)
            && self.since.is_none_or(|since| created > since)
            && self.labels.iter().all(has)
            && !self.not_labels.iter().any(has)
    }

    /// The references among `all` that were asked for; `None` when the image has none of them.
    pub fn chosen(&self, all: Vec<String>) -> Option<Vec<String>> {
        if self.references.is_empty() {
            return Some(all);
        }
        let chosen: Vec<String> =
            all.into_iter().filter(|name| self.references.iter().any(|pattern| names(pattern, name))).collect();
        Some(chosen).filter(|chosen| !chosen.is_empty())
    }
}

/// When the configuration says it was created; 1970 when it does not.
pub fn created_at(image: &ImageRecord) -> Timestamp {
    let created = image.config.created.as_deref().and_then(|text| text.parse().ok());
    created.unwrap_or(Timestamp::UNIX_EPOCH)
}

fn boolean(key: &str, values: &[String]) -> Result<Option<bool>> {
    match values.first().map(String::as_str) {
        None => Ok(None),
        Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(Some(true)),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(Some(false)),
        Some(other) => Err(Error::Filter(format!("{key}={other}"))),
    }
}

/// Whether a pattern means a reference: with tag, or its repository alone; `*` stops at slashes (Go's `path.Match`).
fn names(pattern: &str, name: &str) -> bool {
    let Ok(reference) = Reference::parse(name) else { return false };
    let repository = reference.familiar_name();
    let full = reference.to_string();
    [name, &repository, &full].iter().any(|candidate| glob(pattern.as_bytes(), candidate.as_bytes()))
}

/// Go's `path.Match`: `*`, `?`, `[a-z]`, `[^a]`, `\`.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => {
            let reach = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=reach).any(|skip| glob(rest, &text[skip..]))
        }
        [b'?', rest @ ..] => matches!(text, [first, ..] if *first != b'/') && glob(rest, &text[1..]),
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let [first, after @ ..] = text else { return false };
            class(&rest[..end], *first) && glob(&rest[end + 1..], after)
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => text.first() == Some(literal) && glob(rest, &text[1..]),
    }
}

fn class(class: &[u8], byte: u8) -> bool {
    let (negated, class) = class.strip_prefix(b"^").map_or((false, class), |class| (true, class));
    let mut found = false;
    let mut rest = class;
    while let [first, after @ ..] = rest {
        if let [b'-', last, beyond @ ..] = after {
            found |= (*first..=*last).contains(&byte);
            rest = beyond;
        } else {
            found |= *first == byte;
            rest = after;
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_gos_do() {
        for (pattern, name, wanted) in [
            ("busybox", "busybox:latest", true),
            ("busy*", "busybox:latest", true),
            ("busybox:1.*", "busybox:1.36", true),
            ("busybox:2.*", "busybox:1.36", false),
            ("*", "a/b:c", false),
            ("*/*", "a/b:c", true),
            ("b[t-v]sybox", "busybox:latest", true),
            ("b[^u]sybox", "busybox:latest", false),
            ("docker.io/library/busy*:*", "busybox:latest", true),
        ] {
            assert_eq!(names(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
