//! Any bytes as a manifest: no panic; what is taken names well-formed digests only.
#![no_main]

use berth_registry::{access::token::scope, digest::Digest, manifest::parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = parse(data, None) {
        for (digest, _) in &manifest.blobs {
            assert!(Digest::parse(digest.as_str()).is_ok());
        }
        assert!(!manifest.media_type.is_empty());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        scope(text);
    }
});
