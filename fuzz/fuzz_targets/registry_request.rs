//! Any bytes as a request's path, ranges and globs: no panic; names that are taken keep the grammar.
#![no_main]

use berth_registry::{
    name::{fits, is_repository, is_tag},
    range::{Wanted, chunk, wanted},
    route::{Part, Route, parse},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(Route::Repository(name, part)) = parse(text) {
        assert!(is_repository(&name) && !name.contains(".."));
        if let Part::Tag(tag) = part {
            assert!(is_tag(&tag) && !tag.contains('/'));
        }
    }
    let size = data.len() as u64;
    if let Wanted::Part(first, last) = wanted(Some(text), size) {
        assert!(first <= last && last < size);
    }
    if let Some((first, last)) = chunk(text) {
        assert!(first <= last);
    }
    let (pattern, name) = text.split_once(' ').unwrap_or((text, "a/b"));
    fits(pattern, name);
});
