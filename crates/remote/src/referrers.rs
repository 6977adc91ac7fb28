//! What refers to a manifest: signatures, attestations (OCI distribution specification, "Listing Referrers").

use berth_spec::{
    Digest,
    image::{Index, OCI_INDEX},
};

use crate::{Error, Repository, Result, answer, manifest::MANIFEST_BYTES_MAX, request::Wanted};

/// Most referrers that are given.
const REFERRERS_MAX: usize = 64;

impl Repository {
    /// Digests of the manifests that refer to `digest`; none where the registry knows none.
    ///
    /// # Errors
    /// Those of the connection and of credentials.
    pub async fn referrers(&self, digest: &Digest) -> Result<Vec<Digest>> {
        let mut last = Err(self.no_way());
        for way in self.ways(|abilities| abilities.pull && abilities.resolve) {
            last = match self.call(way, &Wanted::get(format!("referrers/{digest}"), OCI_INDEX, &self.familiar)).await {
                Ok(response) => answer::text(response, MANIFEST_BYTES_MAX).await.map_err(|reason| Error::Unreachable {
                    request: crate::error::request(&hyper::Method::GET, &format!("{}/referrers", self.familiar)),
                    reason,
                }),
                Err(error) => Err(error),
            };
            if !self.goes_on(way, &last) {
                break;
            }
        }
        let bytes = match last {
            Ok(bytes) => bytes,
            // A registry without this list keeps it under a tag ("Referrers Tag Schema").
            Err(Error::Status { .. } | Error::Denied { .. }) => {
                match self.manifest(&format!("sha256-{}", digest.hex())).await {
                    Ok(document) => document.bytes,
                    Err(Error::ManifestUnknown { .. } | Error::Denied { .. }) => return Ok(Vec::new()),
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        let unusable = |error: serde_json::Error| Error::Manifest {
            reference: format!("{}@{digest}", self.familiar),
            reason: format!("its referrers cannot be read: {error}"),
        };
        let index: Index = serde_json::from_slice(&bytes).map_err(unusable)?;
        Ok(index.manifests.into_iter().take(REFERRERS_MAX).map(|manifest| manifest.digest).collect())
    }
}
