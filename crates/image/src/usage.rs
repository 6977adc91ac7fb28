//! `system df`: what images take on disk.

use berth_spec::model::ImageSummary;

use crate::Images;

/// What images take on disk.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// All images, with shared sizes and numbers of containers.
    pub images: Vec<ImageSummary>,
    /// Bytes of all layers, each counted once.
    pub layers_bytes: u64,
    /// Bytes of layers that only images without container need.
    pub reclaimable_bytes: u64,
    /// Images with a container.
    pub active: usize,
}

impl Images {
    /// What images take on disk.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let index = self.shared.snapshot();
        let (mut active, mut held) = (0, std::collections::BTreeSet::new());
        for image in index.images.values() {
            if !self.shared.containers_of(&image.id).is_empty() {
                active += 1;
                held.extend(image.chain_ids.iter().cloned());
            }
        }
        let layers_bytes = index.layers.values().map(|layer| layer.bytes).sum();
        let held_bytes: u64 = held.iter().filter_map(|chain| index.layers.get(chain)).map(|layer| layer.bytes).sum();
        Usage {
            images: index.images.values().map(|image| self.shared.summary(&index, image, true, true)).collect(),
            layers_bytes,
            reclaimable_bytes: layers_bytes - held_bytes,
            active,
        }
    }
}
