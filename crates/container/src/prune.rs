//! `prune`: remove all stopped containers.

use crate::{Containers, Error, Filters, PruneReport, RemoveRequest, Result, filter, record::Status};

impl Containers {
    /// Removes stopped containers that match `until` and `label` filters.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown filter.
    pub async fn prune(&self, filters: &Filters) -> Result<PruneReport> {
        if let Some(key) = filters.0.keys().find(|key| !matches!(key.as_str(), "until" | "label" | "label!")) {
            return Err(Error::Invalid(format!("invalid filter '{key}'")));
        }
        let until = filter::until(filters)?;
        let mut report = PruneReport::default();
        for container in self.shared.all() {
            let stopped = matches!(container.status(), Status::Created | Status::Exited | Status::Dead);
            let matches = {
                let record = container.read();
                until.is_none_or(|until| record.created < until) && filter::labels(&record, filters)
            };
            if !stopped || !matches {
                continue;
            }
            let bytes = self.shared.snapshots.usage(&container.id).unwrap_or(0);
            if self.remove(&container.id, RemoveRequest::default()).await.is_ok() {
                report.deleted.push(container.id.clone());
                report.space_bytes += bytes;
            }
        }
        self.shared.events.publish(
            "container",
            "prune",
            "",
            [("reclaimed".to_owned(), report.space_bytes.to_string())].into(),
        );
        Ok(report)
    }
}
