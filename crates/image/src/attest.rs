//! What is attested of an image: statements that travel beside it (in-toto attestation framework, "Statement" v0.1;
//! attached as BuildKit does: a manifest of their own in the image's index).
//!
//! A statement names the digest of a manifest, which depends on how the layers are compressed: kept are the
//! predicates, and each output makes its own statements.

use std::collections::BTreeMap;

use berth_record::Durability;
use berth_spec::{
    Digest, Platform,
    image::{Descriptor, OCI_CONFIG, OCI_MANIFEST},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Images, Result, images::Shared, record::VERSION, save};

/// Table of lists of [`Predicate`]s by image id.
pub const ATTESTATION_TABLE: &str = "attestation";
/// Media type of a statement.
pub const STATEMENT: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v0.1";
const KIND: &str = "in-toto.io/predicate-type";

/// What is said about an image, without the image's digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Predicate {
    /// `https://spdx.dev/Document`, `https://slsa.dev/provenance/v1`.
    pub kind: String,
    /// The predicate itself.
    pub body: Value,
}

/// A statement about an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Attestation {
    /// The statement as a blob.
    pub descriptor: Descriptor,
    /// Its predicate's kind.
    pub kind: String,
    /// The document.
    pub statement: Vec<u8>,
}

/// The statements about one image, ready to lie in an index.
pub(crate) struct Attached {
    /// Of the manifest, for the index.
    pub descriptor: Descriptor,
    /// Every document: statements, configuration, manifest last.
    pub blobs: Vec<(Descriptor, Vec<u8>)>,
}

impl Images {
    /// Keeps what is attested of an image; replaces what was kept before.
    ///
    /// # Errors
    /// [`crate::Error::Missing`], [`crate::Error::Record`].
    pub fn attest(&self, id: &Digest, predicates: &[Predicate]) -> Result<()> {
        self.shared.image(id)?;
        Ok(self.shared.records.put(ATTESTATION_TABLE, id.as_str(), &VERSION, &predicates, Durability::Power)?)
    }

    /// The statements about an image as `save` would write it.
    ///
    /// # Errors
    /// [`crate::Error::Missing`], [`crate::Error::Damaged`], [`crate::Error::Record`].
    pub async fn attestations(&self, name: &str) -> Result<Vec<Attestation>> {
        let image = self.resolve(name).await?;
        self.blocking(move |shared| {
            let record = shared.image(&image.id)?;
            let predicates = shared.predicates(&image.id)?;
            if predicates.is_empty() {
                return Ok(Vec::new());
            }
            let index = shared.snapshot();
            let (manifest, _) = save::manifest_of(&record, &save::layers_of(&index, &record)?);
            let names: Vec<String> = index.tags_of(&image.id).cloned().collect();
            Ok(predicates.iter().map(|predicate| statement(predicate, &names, &manifest.digest)).collect())
        })
        .await
    }
}

impl Shared {
    /// What is attested of an image.
    pub fn predicates(&self, id: &Digest) -> Result<Vec<Predicate>> {
        Ok(self.records.get(ATTESTATION_TABLE, id.as_str())?.unwrap_or_default())
    }
}

fn statement(predicate: &Predicate, names: &[String], manifest: &Digest) -> Attestation {
    let digest = json!({ "sha256": manifest.hex() });
    let subject: Vec<Value> = match names {
        [] => vec![json!({ "name": "_", "digest": digest })],
        names => names.iter().map(|name| json!({ "name": purl(name), "digest": digest })).collect(),
    };
    let document = json!({
        "_type": STATEMENT_TYPE,
        "predicateType": predicate.kind,
        "subject": subject,
        "predicate": predicate.body,
    });
    let statement = document.to_string().into_bytes();
    let digest = berth_archive::hash::digest(&statement);
    let annotations = BTreeMap::from([(KIND.to_owned(), predicate.kind.clone())]);
    let plain = save::descriptor(STATEMENT, digest, statement.len() as u64);
    let descriptor = Descriptor { annotations: Some(annotations), ..plain };
    Attestation { descriptor, kind: predicate.kind.clone(), statement }
}

/// The name of an image as a package URL.
fn purl(name: &str) -> String {
    match berth_spec::Reference::parse(name) {
        Ok(reference) => {
            let tag = reference.tag().map(|tag| format!("@{tag}")).unwrap_or_default();
            format!("pkg:docker/{}{tag}", reference.familiar_name())
        }
        Err(_) => name.to_owned(),
    }
}

/// The manifest of the statements about the image with this manifest.
pub(crate) fn attach(predicates: &[Predicate], names: &[String], manifest: &Descriptor) -> Attached {
    let statements: Vec<Attestation> =
        predicates.iter().map(|predicate| statement(predicate, names, &manifest.digest)).collect();
    let diff_ids: Vec<&Digest> = statements.iter().map(|one| &one.descriptor.digest).collect();
    let config = json!({
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = config.to_string().into_bytes();
    let config_of = save::descriptor(OCI_CONFIG, berth_archive::hash::digest(&config), config.len() as u64);
    let layers: Vec<&Descriptor> = statements.iter().map(|one| &one.descriptor).collect();
    let text = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config_of, "layers": layers,
    });
    let text = text.to_string().into_bytes();
    let annotations = BTreeMap::from([
        ("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned()),
        ("vnd.docker.reference.digest".to_owned(), manifest.digest.to_string()),
    ]);
    let unknown = Platform { os: "unknown".to_owned(), architecture: "unknown".to_owned(), variant: None };
    let plain = save::descriptor(OCI_MANIFEST, berth_archive::hash::digest(&text), text.len() as u64);
    let descriptor = Descriptor { platform: Some(unknown), annotations: Some(annotations), ..plain };
    let mut blobs: Vec<_> = statements.into_iter().map(|one| (one.descriptor, one.statement)).collect();
    blobs.push((config_of, config));
    blobs.push((descriptor.clone(), text));
    Attached { descriptor, blobs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_name_the_manifest() {
        let predicate = Predicate { kind: "https://spdx.dev/Document".into(), body: json!({ "a": 1 }) };
        let manifest = save::descriptor(OCI_MANIFEST, berth_archive::hash::digest(b"m"), 1);
        let attached = attach(&[predicate], &["x:y".into()], &manifest);
        assert_eq!(attached.blobs.len(), 3);
        let statement: Value = serde_json::from_slice(&attached.blobs[0].1).expect("JSON");
        assert_eq!(statement["subject"][0]["digest"]["sha256"], manifest.digest.hex());
        assert_eq!(statement["subject"][0]["name"], "pkg:docker/x@y");
        for (descriptor, bytes) in &attached.blobs {
            assert_eq!(descriptor.digest, berth_archive::hash::digest(bytes));
        }
        let annotations = attached.descriptor.annotations.expect("annotations");
        assert_eq!(annotations["vnd.docker.reference.digest"], manifest.digest.to_string());
    }
}
