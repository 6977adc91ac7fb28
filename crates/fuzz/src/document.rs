//! Documents: references, manifests, configurations, records on disk.

use berth_record::Store;
use berth_spec::Reference;
use berth_spec::image::{Index, Manifest};
use serde_json::Value;

/// A reference: what is taken is written as itself again, and its tag and digest stay.
pub fn reference(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(reference) = Reference::parse(text) else { return };
    let familiar = reference.familiar();
    let again = Reference::parse(&familiar).unwrap_or_else(|error| panic!("{familiar:?} of {text:?}: {error}"));
    assert_eq!(again, reference, "{text:?} became {familiar:?}");
    assert!(!familiar.contains("..") && !familiar.contains(char::is_whitespace), "{familiar:?}");
}

/// A manifest or an index: what is taken is the same after it was written and read.
pub fn image_manifest(input: &[u8]) {
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(input) {
        let text = serde_json::to_vec(&manifest).expect("it is written");
        serde_json::from_slice::<Manifest>(&text).expect("it is read again");
    }
    if let Ok(index) = serde_json::from_slice::<Index>(input) {
        let text = serde_json::to_vec(&index).expect("it is written");
        serde_json::from_slice::<Index>(&text).expect("it is read again");
    }
}

/// A configuration: what is taken is the same after it was written and read.
pub fn image_config(input: &[u8]) {
    let Ok(config) = berth_image::parse_config(input) else { return };
    let text = serde_json::to_vec(&config).expect("it is written");
    let again = berth_image::parse_config(&text).expect("it is read again");
    assert_eq!(again, config);
}

/// A spoiled file of records: refused or read, never a panic.
pub fn record(input: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("berth.db");
    std::fs::write(&path, input).expect("a file");
    let Ok(store) = Store::open(&path) else { return };
    let Ok((found, _)) = store.summaries::<Value>("container") else { return };
    for (id, _) in found {
        let _ = store.get::<Value>("container", &id);
    }
}
