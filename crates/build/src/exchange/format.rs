//! BuildKit's documents about a cache (buildkit, cache/remotecache/v1, "spec.go").

use berth_kit::time::Timestamp;
use berth_spec::{Digest, image::Descriptor};
use serde::{Deserialize, Serialize};

use super::Walked;

/// Media type of [`Config`].
pub const CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";
/// Field of an image's configuration that holds a cache.
pub const INLINE: &str = "moby.buildkit.cache.v0";
/// The longest document that is read, in bytes.
pub const DOCUMENT_MAX: u64 = 16 << 20;
/// The most entries of one document.
const ENTRIES_MAX: usize = 20_000;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Record>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    pub blob: Digest,
    /// Number of the layer below, -1 for none.
    #[serde(default)]
    pub parent: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Annotations {
    #[serde(default, rename = "mediaType", skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    #[serde(default, rename = "diffID", skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<Digest>,
    #[serde(default)]
    pub size: u64,
    #[serde(default, rename = "createdAt")]
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Outcome>,
    /// The step.
    pub digest: Digest,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Vec<Input>>,
    /// This builder's own: when a step was made that has no layer.
    #[serde(default, rename = "berth.unchanged", skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Number of the layer.
    pub layer: usize,
    #[serde(default, rename = "createdAt")]
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// Number of the record.
    pub link: usize,
}

/// Steps once each, in their order.
fn distinct(steps: &[Walked]) -> Vec<&Walked> {
    let mut seen = std::collections::BTreeSet::new();
    steps.iter().filter(|step| seen.insert(step.key.as_str())).collect()
}

/// Records of steps; `layer` says which number a layer has, none when it is not part of the document.
pub fn records(
    steps: &[Walked],
    created: impl Fn(&Walked) -> Timestamp,
    layer: impl Fn(&Walked) -> Option<usize>,
) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut numbers = std::collections::BTreeMap::new();
    for step in distinct(steps) {
        let Some(digest) = Digest::parse(&format!("sha256:{}", step.key)).ok() else { continue };
        let (layers, unchanged) = match &step.layer {
            None => (Vec::new(), Some(created(step))),
            Some(_) => match layer(step) {
                Some(layer) => (vec![Outcome { layer, created_at: created(step) }], None),
                None => continue,
            },
        };
        let parent = step.parent.as_deref().and_then(|parent| numbers.get(parent).copied());
        let inputs = parent.map(|link| vec![Input { selector: String::new(), link }]).into_iter().collect();
        numbers.insert(step.key.as_str(), records.len());
        records.push(Record { layers, digest, inputs, unchanged });
    }
    records
}

/// The document about steps whose layers have these blobs, in the same order.
pub fn config(steps: &[Walked], blobs: &[(Digest, Descriptor)]) -> Config {
    let number = |diff_id: &Digest| blobs.iter().position(|(known, _)| known == diff_id);
    let mut layers = Vec::new();
    for (diff_id, blob) in blobs {
        let made = steps.iter().find(|step| step.layer.as_ref().is_some_and(|layer| layer.diff_id == *diff_id));
        let annotations = Annotations {
            media_type: blob.media_type.clone(),
            diff_id: Some(diff_id.clone()),
            size: blob.size,
            created_at: made.map_or(Timestamp::UNIX_EPOCH, |step| step.created),
        };
        layers.push(Layer { blob: blob.digest.clone(), parent: -1, annotations: Some(annotations) });
    }
    let records =
        records(steps, |step| step.created, |step| step.layer.as_ref().and_then(|layer| number(&layer.diff_id)));
    Config { layers, records }
}

/// Reads a document of somebody else.
pub fn read(bytes: &[u8]) -> Result<Config, String> {
    let config: Config = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if config.layers.len() > ENTRIES_MAX || config.records.len() > ENTRIES_MAX {
        return Err(format!("it has more than {ENTRIES_MAX} entries"));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::LayerRef;

    fn digest(text: &str) -> Digest {
        berth_archive::hash::digest(text.as_bytes())
    }

    #[test]
    fn a_document_is_read_as_it_was_written() {
        let layer = LayerRef { chain_id: digest("c"), diff_id: digest("d"), bytes: 1 };
        let step = |key: &str, parent: Option<&str>, layer: Option<LayerRef>| Walked {
            key: digest(key).hex().to_owned(),
            parent: parent.map(|parent| digest(parent).hex().to_owned()),
            layer,
            created: Timestamp::UNIX_EPOCH,
        };
        let steps = [step("1", None, Some(layer)), step("2", Some("1"), None), step("2", Some("1"), None)];
        let blob =
            Descriptor { media_type: "x".into(), digest: digest("b"), size: 7, platform: None, annotations: None };
        let written = config(&steps, &[(digest("d"), blob)]);
        assert_eq!((written.layers.len(), written.records.len()), (1, 2));
        assert_eq!(written.records[1].inputs[0][0].link, 0);
        let bytes = serde_json::to_vec(&written).expect("JSON");
        assert_eq!(read(&bytes).expect("readable"), written);
    }

    #[test]
    fn hostile_documents_are_refused() {
        for bad in [
            "",
            r#"{"layers":[{"blob":"../../etc/passwd"}]}"#,
            r#"{"records":[{"digest":"x"}]}"#,
            r#"{"records":[{"digest":"sha256:aa","layers":[{"layer":-1}]}]}"#,
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        let many = format!(
            r#"{{"layers":[{}]}}"#,
            vec![format!(r#"{{"blob":"{}"}}"#, digest("x")); ENTRIES_MAX + 1].join(",")
        );
        assert!(read(many.as_bytes()).is_err());
    }
}
