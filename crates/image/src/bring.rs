//! Single layers that come from elsewhere and go elsewhere: what a build cache is made of.

use std::{io::Read, sync::Arc};

use berth_remote::{Contents, Repository};
use berth_spec::{Digest, image::Descriptor};

use crate::{
    Error, Images, OwnLayer, PushRequest, Result,
    layer::{self, Plan, Stored},
    push,
};

/// Where the blob of a layer is.
#[derive(Clone)]
pub enum LayerPlace {
    /// On a registry.
    Registry(Arc<Repository>),
    /// In the content store.
    Here,
}

impl Images {
    /// Makes a layer on top of `below` of a blob.
    ///
    /// # Errors
    /// [`Error::Remote`], [`Error::WrongLayer`] when the blob is not what `diff_id` says, [`Error::Unpack`].
    pub async fn bring_layer(
        &self,
        place: &LayerPlace,
        blob: &Descriptor,
        diff_id: &Digest,
        below: Option<&Digest>,
    ) -> Result<OwnLayer> {
        let chain_id = match below {
            None => diff_id.clone(),
            Some(below) => berth_archive::hash::digest(format!("{below} {diff_id}").as_bytes()),
        };
        if let Some(here) = self.layer(&chain_id) {
            return Ok(here);
        }
        let _hold = self.hold();
        if let LayerPlace::Registry(repository) = place {
            repository.fetch(blob, &self.shared.content).await?;
        }
        let (blob, diff_id, parent, wanted) = (blob.clone(), diff_id.clone(), below.cloned(), chain_id.clone());
        self.blocking(move |shared| {
            let mut head = [0; 8];
            let mut file = shared.content.open_blob(&blob.digest)?;
            let length = file.read(&mut head).map_err(layer::read_failed)?;
            let compression = berth_archive::compression::of_head(&head[..length])?;
            let stored = Stored { raw: blob.digest.clone(), blob_bytes: blob.size, blob: blob.digest, compression };
            let plan = Plan { stored, diff_id, chain_id, parent, arrival: None, pulled_as: None };
            layer::make(shared, vec![plan], None)
        })
        .await?;
        self.layer(&wanted).ok_or_else(|| Error::Damaged {
            id: wanted.to_string(),
            reason: "the layer that was brought is gone".to_owned(),
        })
    }

    /// Sends layers to a registry, compressed for it; gives what a manifest says of them, in order.
    ///
    /// # Errors
    /// As for [`Images::push`].
    pub async fn push_layers(&self, chain_ids: &[Digest], wanted: &PushRequest) -> Result<Vec<Descriptor>> {
        let _hold = self.hold();
        let chain_ids = chain_ids.to_vec();
        let forms = self.blocking(move |shared| push::forms_of(shared, &chain_ids)).await?;
        let repository = self.shared.remote.writable(&wanted.reference, &wanted.policy, wanted.credentials.clone())?;
        self.send_layers(&Arc::new(repository), &forms, wanted, None).await
    }

    /// Sends a manifest of any kind and its configuration, under the tag of the request.
    ///
    /// # Errors
    /// As for [`Images::push`].
    pub async fn push_document(
        &self,
        wanted: &PushRequest,
        config: (&Descriptor, Vec<u8>),
        manifest: (&str, Vec<u8>),
    ) -> Result<Digest> {
        let repository = self.shared.remote.writable(&wanted.reference, &wanted.policy, wanted.credentials.clone())?;
        repository.upload(config.0, &Contents::Bytes(config.1.into()), &[], None).await?;
        let tag = wanted.reference.tag().unwrap_or(berth_spec::reference::DEFAULT_TAG);
        Ok(repository.put_manifest(tag, manifest.0, manifest.1.into()).await?)
    }

    /// A layer's archive as gzip in the content store, for an output that keeps blobs as they are.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Damaged`].
    pub async fn gzip_layer(&self, chain_id: &Digest) -> Result<Descriptor> {
        let chain_id = chain_id.clone();
        self.blocking(move |shared| push::gzip_of(shared, &chain_id)).await
    }
}
