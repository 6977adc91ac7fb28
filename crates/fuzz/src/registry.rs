//! Registries, from both sides.

use berth_registry::access::token::scope;
use berth_registry::digest::Digest;
use berth_registry::manifest::parse as parse_manifest;
use berth_registry::name::{fits, is_repository, is_tag};
use berth_registry::range::{Wanted, chunk, wanted};
use berth_registry::route::{Part, Route, parse};
use berth_remote::Challenge;

/// What a registry says it wants to see: no panic, and a realm where there is a bearer.
pub fn auth_header(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(Challenge::Bearer { realm, .. }) = Challenge::parse(text) {
        assert!(!realm.is_empty());
    }
}

/// A manifest that is pushed: no panic; what is taken names well-formed digests only.
pub fn manifest(input: &[u8]) {
    if let Ok(manifest) = parse_manifest(input, None) {
        for (digest, _) in &manifest.blobs {
            assert!(Digest::parse(digest.as_str()).is_ok());
        }
        assert!(!manifest.media_type.is_empty());
    }
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = scope(text);
    }
}

/// A request's path, ranges and globs: no panic; names that are taken keep the grammar.
pub fn request(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(Route::Repository(name, part)) = parse(text) {
        assert!(is_repository(&name) && !name.contains(".."));
        if let Part::Tag(tag) = part {
            assert!(is_tag(&tag) && !tag.contains('/'));
        }
    }
    let size = input.len() as u64;
    if let Wanted::Part(first, last) = wanted(Some(text), size) {
        assert!(first <= last && last < size);
    }
    if let Some((first, last)) = chunk(text) {
        assert!(first <= last);
    }
    let (pattern, name) = text.split_once(' ').unwrap_or((text, "a/b"));
    let _ = fits(pattern, name);
}
