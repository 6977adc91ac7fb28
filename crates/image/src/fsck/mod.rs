//! `fsck`: whether everything that records speak of is here and is what it was, and nothing else.
//!
//! ```text
//! examine: records readable? ─► names lead somewhere? ─► blobs have their digests? ─► layers are what their archives say?
//! repair:  records from configurations ─► blobs from registries that have them ─► layers from blobs ─► orphans removed
//! ```
//!
//! While it repairs nothing is collected, and nothing that a running container stands on is replaced.

mod examine;
mod repair;

use std::{collections::BTreeMap, sync::atomic::Ordering};

use berth_remote::{Credentials, Policy};
use serde::Serialize;

use crate::{Images, Result};

/// How to look, and what to do about what is found.
#[derive(Debug, Clone, Default)]
pub struct FsckRequest {
    /// Mend what can be mended.
    pub repair: bool,
    /// How registries are spoken to when blobs must be fetched again.
    pub policy: Policy,
    /// For registries, by their names.
    pub credentials: BTreeMap<String, Credentials>,
}

/// What was looked at, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FsckReport {
    /// Images with a readable record.
    pub images: usize,
    /// Unpacked layers.
    pub layers: usize,
    /// Blobs.
    pub blobs: usize,
    /// Bytes of blobs that were read.
    pub bytes_read: u64,
    /// What is wrong, or was.
    pub findings: Vec<Finding>,
    /// Bytes of orphans that were removed.
    pub bytes_freed: u64,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Finding {
    /// What it is.
    pub what: What,
    /// Digest, chain id or name.
    pub id: String,
    /// A sentence.
    pub problem: String,
    /// What was done about it; absent as long as it is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repaired: Option<String>,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A record that cannot be read.
    Record,
    /// A name of no image.
    Tag,
    /// The configuration of an image.
    Config,
    /// The archive of a layer.
    Blob,
    /// The files of a layer.
    Layer,
    /// Something that nothing needs.
    Orphan,
}

impl FsckReport {
    /// Whether nothing is wrong any more.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.repaired.is_some())
    }

    fn add(&mut self, what: What, id: impl ToString, problem: impl Into<String>) {
        self.findings.push(Finding { what, id: id.to_string(), problem: problem.into(), repaired: None });
    }
}

impl Images {
    /// Looks at every record, blob and layer, and mends what can be mended when asked to.
    ///
    /// # Errors
    /// The stores' own failures; what is wrong with their contents is in the report.
    pub async fn fsck(&self, request: &FsckRequest) -> Result<FsckReport> {
        // What a crash left is nobody's fault as long as it is about to be swept.
        if self.shared.is_unswept.load(Ordering::Relaxed) {
            self.sweep().await?;
        }
        // Nothing that is looked at goes away meanwhile.
        let hold = self.hold();
        let mut report = self.blocking(examine::examine).await?;
        if request.repair {
            // What a record speaks of is seen only when the record is there: afterwards all is looked at again.
            let is_record = |finding: &Finding| finding.what == What::Record;
            if report.findings.iter().any(is_record) {
                report.findings.retain(is_record);
                repair::repair(self, request, &mut report).await?;
                let repaired = std::mem::take(&mut report.findings);
                report = self.blocking(examine::examine).await?;
                report.findings.retain(|finding| !is_record(finding));
                report.findings.splice(0..0, repaired);
            }
            repair::repair(self, request, &mut report).await?;
        }
        drop(hold);
        Ok(report)
    }
}
