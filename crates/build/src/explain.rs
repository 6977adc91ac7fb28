//! Why a step was taken from the cache or not, in words.

use std::collections::BTreeMap;

use crate::cache::{Cache, Entry, Key};

/// Changes that are named; the rest is counted.
const NAMED_MAX: usize = 5;

/// Why a step had to be made.
pub(crate) fn miss(cache: &Cache, slot: &str, key: &Key) -> String {
    let Some(before) = cache.newest_at(slot) else { return "never built before".to_owned() };
    let old = cache.parts(&before.key);
    let changes = changes(&old, key.parts());
    match changes.len() {
        0 => "its layer is no longer kept".to_owned(),
        count => {
            let mut text = changes[..count.min(NAMED_MAX)].join(", ");
            if count > NAMED_MAX {
                text.push_str(&format!(" and {} more", count - NAMED_MAX));
            }
            text
        }
    }
}

/// Why a step needed no making.
pub(crate) fn hit(entry: &Entry, parts: usize) -> String {
    let made = berth_kit::time::format_nano(entry.created);
    format!("all {parts} inputs are those of {made}")
}

/// What differs, each as a few words.
fn changes(old: &[(String, String)], new: &[(String, String)]) -> Vec<String> {
    let before: BTreeMap<&str, &str> = old.iter().map(|(name, sum)| (name.as_str(), sum.as_str())).collect();
    let after: BTreeMap<&str, &str> = new.iter().map(|(name, sum)| (name.as_str(), sum.as_str())).collect();
    let mut found = Vec::new();
    for (name, sum) in &after {
        match before.get(name) {
            Some(known) if known == sum => {}
            Some(_) => found.push(format!("{} changed", shown(name))),
            None => found.push(format!("{} is new", shown(name))),
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        found.push(format!("{} is gone", shown(name)));
    }
    found
}

fn shown(name: &str) -> String {
    match name {
        "below" => "the layers below".to_owned(),
        "command" => "the instruction".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_named() {
        let parts = |text: &[(&str, &str)]| -> Vec<(String, String)> {
            text.iter().map(|(name, sum)| ((*name).to_owned(), (*sum).to_owned())).collect()
        };
        let old = parts(&[("below", "1"), ("file a", "2"), ("file b", "3")]);
        let new = parts(&[("below", "1"), ("file a", "9"), ("env X", "4")]);
        assert_eq!(changes(&old, &new), ["env X is new", "file a changed", "file b is gone"]);
        assert_eq!(changes(&parts(&[("below", "1")]), &parts(&[("below", "2")])), ["the layers below changed"]);
    }
}
