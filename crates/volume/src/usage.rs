//! `system df`: how much each volume holds.

use std::sync::Arc;

use berth_spec::model;

use crate::{Record, Result, Volumes, volumes::blocking};

impl Volumes {
    /// Every volume with its size in bytes (-1 where it has none) and its number of users.
    pub async fn usage(&self) -> Vec<model::Volume> {
        let entries: Vec<_> = self.shared.table().values().cloned().collect();
        let mut views = Vec::with_capacity(entries.len());
        for entry in entries {
            let bytes = self.measure(entry.record.clone()).await.ok().flatten();
            let mut view = self.shared.view(&entry.record);
            view.usage_data = Some(model::VolumeUsageData {
                size: bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(-1),
                ref_count: i64::try_from(entry.users.len()).unwrap_or(i64::MAX),
            });
            views.push(view);
        }
        views
    }

    pub(crate) async fn measure(&self, record: Arc<Record>) -> Result<Option<u64>> {
        let driver = self.shared.driver_of(&record)?;
        blocking(move || driver.usage_bytes(record.location())).await
    }
}
