//! The manifest that is pushed: the one an image came with, so that its digest stays, or one made anew: Docker's own
//! form where all layers fit into it, else OCI's.

use std::sync::Arc;

use berth_spec::image::{DOCKER_CONFIG, DOCKER_MANIFEST, Descriptor, Manifest, OCI_CONFIG, OCI_MANIFEST};

use super::layer::{Form, is_docker, oci_type};
use crate::{Error, Result, images::Shared, known::KnownManifest, record::ImageRecord};

/// The layers of an image, lowest first.
pub fn forms(shared: &Shared, image: &ImageRecord) -> Result<Vec<Form>> {
    let mut forms = Vec::with_capacity(image.chain_ids.len());
    for chain in &image.chain_ids {
        let record = shared.view(|index| index.layers.get(chain).map(Arc::clone)).ok_or_else(|| Error::Damaged {
            id: image.id.to_string(),
            reason: format!("its layer {chain} is missing"),
        })?;
        forms.push(Form::of(shared, &record)?);
    }
    Ok(forms)
}

/// The manifest that the image came with, when its layers are pushed just so.
pub fn own(shared: &Shared, image: &ImageRecord, layers: &[Descriptor]) -> Result<Option<KnownManifest>> {
    let Some(known) = shared.known_manifest(&image.id)? else { return Ok(None) };
    let Ok(manifest) = serde_json::from_str::<Manifest>(&known.text) else { return Ok(None) };
    let is_same = manifest.config.digest == image.id
        && manifest.layers.len() == layers.len()
        && manifest.layers.iter().zip(layers).all(|(known, pushed)| known.digest == pushed.digest);
    Ok(is_same.then_some(known))
}

/// A manifest for the image; `is_oci` wants no other than OCI's form.
pub fn make(image: &ImageRecord, layers: &[Descriptor], is_oci: bool) -> KnownManifest {
    let is_docker = !is_oci && layers.iter().all(|layer| is_docker(&layer.media_type));
    let (media_type, config) = if is_docker { (DOCKER_MANIFEST, DOCKER_CONFIG) } else { (OCI_MANIFEST, OCI_CONFIG) };
    let layers = layers.iter().map(|layer| match is_docker {
        true => layer.clone(),
        false => Descriptor { media_type: oci_type(&layer.media_type), ..layer.clone() },
    });
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type.to_owned()),
        config: crate::save::descriptor(config, image.id.clone(), image.config_bytes),
        layers: layers.collect(),
        annotations: None,
    };
    // These types have no map keys or values that JSON cannot hold.
    let text = serde_json::to_string_pretty(&manifest).unwrap_or_default();
    KnownManifest { digest: berth_archive::hash::digest(text.as_bytes()), media_type: media_type.to_owned(), text }
}
