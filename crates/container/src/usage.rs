//! How much disk containers take.

use berth_spec::model::ContainerSummary;

use crate::{Containers, ListRequest, Result, rootfs::blocking};

impl Containers {
    /// All containers with their sizes, for `system df`.
    ///
    /// # Errors
    /// None today; the list's.
    pub async fn usage(&self) -> Result<Vec<ContainerSummary>> {
        self.list(ListRequest { all: true, size: true, ..ListRequest::default() }).await
    }

    /// Bytes of the writable layer, and of it together with the image. Unknown sizes are 0.
    pub(crate) async fn sizes(&self, id: &str) -> (i64, i64) {
        let (snapshots, key) = (self.shared.snapshots.clone(), id.to_owned());
        let own = blocking(move || Ok(snapshots.usage(&key)?)).await.unwrap_or(0);
        let image_id = self.shared.find(id).map(|container| container.read().image_id.clone()).unwrap_or_default();
        let image =
            self.shared.images.inspect(&image_id).await.ok().and_then(|image| image.size).map_or(0, i64::unsigned_abs);
        let clamp = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        (clamp(own), clamp(own + image))
    }
}
