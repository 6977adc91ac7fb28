//! What a build attests of its images: what packages are in them, and how they were made.

mod package;
mod provenance;
mod sbom;

use berth_image::Predicate;
use berth_kit::time::Timestamp;
use berth_spec::{Digest, Platform};

pub(crate) use provenance::Material;

use crate::{Request, Result, tree::Tree};

/// What is to be attested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attest {
    /// The packages in the image, as an SPDX document.
    Sbom,
    /// How it was made (SLSA).
    Provenance {
        /// With arguments, secrets' names and the Dockerfile.
        max: bool,
        /// `v1`, or the older `v0.2`.
        version: Version,
    },
}

/// Versions of SLSA's predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// `https://slsa.dev/provenance/v0.2`.
    V02,
    /// `https://slsa.dev/provenance/v1`.
    #[default]
    V1,
}

impl Attest {
    /// Reads what `--attest` says: `type=sbom`, `type=provenance,mode=max,version=v0.2`. None where it is disabled.
    ///
    /// # Errors
    /// A sentence that names the field that is not there.
    pub fn parse(text: &str) -> std::result::Result<Option<Self>, String> {
        let (mut kind, mut max, mut version, mut disabled) = ("", false, Version::default(), false);
        for field in text.split(',').filter(|field| !field.is_empty()) {
            match field.split_once('=').unwrap_or((field, "true")) {
                ("type", value) => kind = value,
                ("mode", "max") => max = true,
                ("mode", "min") => max = false,
                ("version", "v1") => version = Version::V1,
                ("version", "v0.2") => version = Version::V02,
                ("disabled", value) => disabled = matches!(value, "true" | "1"),
                // The scanner is built in; what BuildKit would name an image for is said to be not there.
                ("generator" | "builder-id" | "reproducible" | "inline-only" | "filename", _) => {
                    return Err(format!("attestation field {field:?} is not there"));
                }
                _ => {
                    return Err(format!("attestation field {field:?} is not there: use type, mode, version, disabled"));
                }
            }
        }
        match kind {
            _ if disabled => Ok(None),
            "sbom" => Ok(Some(Self::Sbom)),
            "provenance" => Ok(Some(Self::Provenance { max, version })),
            other => Err(format!("attestation type {other:?} is not there: use sbom or provenance")),
        }
    }
}

/// What is known of a finished image.
pub(crate) struct Made<'m> {
    pub request: &'m Request,
    pub id: &'m Digest,
    pub platform: &'m Platform,
    pub materials: &'m [Material],
    pub started: Timestamp,
    pub finished: Timestamp,
}

/// The predicates that were asked for. Blocks.
pub(crate) fn predicates(made: &Made<'_>, files: &Tree) -> Result<Vec<Predicate>> {
    let mut found = Vec::new();
    for wanted in &made.request.attest {
        found.push(match wanted {
            Attest::Sbom => sbom::predicate(made, files)?,
            Attest::Provenance { max, version } => provenance::predicate(made, *max, *version),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_attested_is_read() {
        assert_eq!(Attest::parse("type=sbom"), Ok(Some(Attest::Sbom)));
        let max = Attest::Provenance { max: true, version: Version::V02 };
        assert_eq!(Attest::parse("type=provenance,mode=max,version=v0.2"), Ok(Some(max)));
        assert_eq!(Attest::parse("type=sbom,disabled=true"), Ok(None));
        for bad in ["", "type=x", "type=sbom,generator=evil/image", "type=provenance,mode=some"] {
            assert!(Attest::parse(bad).is_err(), "{bad}");
        }
    }
}
