//! Several images as one: an index with a manifest for each platform, and the statements about each of them.
//!
//! ```text
//! index.json ─► index of the image ─► manifest (linux/amd64) ─► configuration, layers
//!                                  ├► manifest (linux/arm64) ─► …
//!                                  └► attestation manifest ─► statements about one of them
//! ```

use std::sync::Arc;

use berth_remote::Contents;
use berth_spec::{
    Digest, Platform, Reference,
    image::{Descriptor, Index as OciIndex, OCI_INDEX},
};

use crate::{
    Error, Images, PushRequest, Result, attest,
    images::Shared,
    push::Target,
    record::ImageRecord,
    save,
    stream::{ByteStream, ProgressSender, written},
};

/// Images that are one under their names.
#[derive(Debug, Clone, Default)]
pub struct Bundle {
    /// Their ids.
    pub images: Vec<Digest>,
    /// An index also for one image about which nothing is attested.
    pub always_index: bool,
}

impl Bundle {
    fn records(&self, shared: &Shared) -> Result<Vec<Arc<ImageRecord>>> {
        self.images.iter().map(|id| shared.image(id)).collect()
    }

    /// Whether one manifest says it all.
    fn is_plain(&self, shared: &Shared) -> Result<bool> {
        match &self.images[..] {
            [only] => Ok(!self.always_index && shared.predicates(only)?.is_empty()),
            _ => Ok(false),
        }
    }
}

/// An index of these manifests.
fn index_of(manifests: Vec<Descriptor>) -> (Descriptor, Vec<u8>) {
    let index = OciIndex { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests, annotations: None };
    let bytes = save::bytes_of(&index);
    (save::descriptor(OCI_INDEX, berth_archive::hash::digest(&bytes), bytes.len() as u64), bytes)
}

fn platform_of(image: &ImageRecord) -> Option<Platform> {
    let platform = Platform::of_config(&image.config);
    (!platform.architecture.is_empty()).then_some(platform)
}

impl Images {
    /// Streams an OCI layout of the bundle, with these names.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Damaged`] before the stream begins.
    pub async fn save_bundle(&self, bundle: &Bundle, names: &[String]) -> Result<ByteStream> {
        let shared = Arc::clone(&self.shared);
        let index = shared.snapshot();
        let records = bundle.records(&shared)?;
        let is_plain = bundle.is_plain(&shared)?;
        let names = names.to_vec();
        // Layers must not be collected while they are read.
        Ok(written(move |output| {
            let build = crate::collect::Build::begin(&shared);
            let outcome = write(&shared, &index, &records, &names, is_plain, output);
            drop(build);
            outcome
        }))
    }

    /// Sends a bundle to a registry, under the tag of the request; gives the digest that the tag has then.
    ///
    /// # Errors
    /// As for [`Images::push`].
    pub async fn push_bundle(
        &self,
        bundle: &Bundle,
        wanted: &PushRequest,
        progress: Option<&ProgressSender>,
    ) -> Result<Digest> {
        let _hold = self.hold();
        let tag = wanted.reference.tag().unwrap_or(berth_spec::reference::DEFAULT_TAG).to_owned();
        let records = bundle.records(&self.shared)?;
        if bundle.is_plain(&self.shared)? {
            let image = records.first().ok_or_else(|| Error::NothingToPush(wanted.reference.familiar_name()))?;
            return Ok(self.push_one(wanted, &Target::tag(&tag), image, progress).await?.digest);
        }
        let repository = self.shared.remote.writable(&wanted.reference, &wanted.policy, wanted.credentials.clone())?;
        let names = [wanted.reference.familiar()];
        let (mut manifests, mut attached) = (Vec::new(), Vec::new());
        for image in &records {
            let pushed = self.push_one(wanted, &Target::Digest, image, progress).await?;
            let plain = save::descriptor(&pushed.media_type, pushed.digest, pushed.size);
            let predicates = self.shared.predicates(&image.id)?;
            if !predicates.is_empty() {
                attached.push(attest::attach(&predicates, &names, &plain));
            }
            manifests.push(Descriptor { platform: platform_of(image), ..plain });
        }
        for one in &attached {
            for (descriptor, bytes) in &one.blobs {
                let bytes = bytes::Bytes::from(bytes.clone());
                if descriptor.digest == one.descriptor.digest {
                    repository.put_manifest(descriptor.digest.as_str(), &descriptor.media_type, bytes).await?;
                } else {
                    repository.upload(descriptor, &Contents::Bytes(bytes), &[], None).await?;
                }
            }
        }
        manifests.extend(attached.into_iter().map(|one| one.descriptor));
        let (descriptor, bytes) = index_of(manifests);
        Ok(repository.put_manifest(&tag, &descriptor.media_type, bytes.into()).await?)
    }
}

fn write(
    shared: &Shared,
    index: &crate::index::Index,
    records: &[Arc<ImageRecord>],
    names: &[String],
    is_plain: bool,
    output: &mut dyn std::io::Write,
) -> Result<()> {
    let mut blobs = save::Blobs::default();
    let mut manifests = Vec::new();
    let mut attached = Vec::new();
    for image in records {
        let descriptor = save::add_image(shared, index, image, &mut blobs)?;
        let predicates = shared.predicates(&image.id)?;
        if !predicates.is_empty() {
            attached.push(attest::attach(&predicates, names, &descriptor));
        }
        manifests.push(Descriptor { platform: platform_of(image), ..descriptor });
    }
    for one in attached {
        for (descriptor, bytes) in one.blobs {
            blobs.insert(descriptor.digest, save::Blob::Bytes(bytes));
        }
        manifests.push(one.descriptor);
    }
    let top = match (is_plain, manifests.first()) {
        (true, Some(only)) => only.clone(),
        _ => {
            let (descriptor, bytes) = index_of(manifests);
            blobs.insert(descriptor.digest.clone(), save::Blob::Bytes(bytes));
            descriptor
        }
    };
    let tags: Vec<String> = names
        .iter()
        .filter_map(|name| Reference::parse(name).ok().map(|one| one.with_default_tag().to_string()))
        .collect();
    save::write_layout(shared, index, &blobs, save::named(&top, &tags), output)
}
