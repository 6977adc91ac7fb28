//! What the engine says about itself, and which cache records a filter means.

use std::collections::BTreeMap;

use crate::builder::Builder;
use crate::proto::Platform;
use crate::proto::control::{BuildkitVersion, InfoResponse, ListWorkersResponse, UsageRecord, WorkerRecord};

fn version() -> BuildkitVersion {
    BuildkitVersion {
        package: "berth".to_owned(),
        version: concat!("v", env!("CARGO_PKG_VERSION"), "-berth").to_owned(),
        revision: String::new(),
        dockerfile_version: String::new(),
    }
}

pub(super) fn info() -> InfoResponse {
    InfoResponse { version: Some(version()) }
}

/// One worker. Its `snapshotter` label tells clients that images are kept as OCI content, and with that several
/// platforms, pushes, and exports to files.
pub(super) fn list(builder: &dyn Builder) -> ListWorkersResponse {
    let mut labels = BTreeMap::from([
        ("org.mobyproject.buildkit.worker.executor".to_owned(), "containers".to_owned()),
        ("org.mobyproject.buildkit.worker.snapshotter".to_owned(), "overlayfs".to_owned()),
    ]);
    if let Some(address) = builder.host_gateway() {
        labels.insert("org.mobyproject.buildkit.worker.moby.host-gateway-ip".to_owned(), address);
    }
    let platforms = builder.platforms();
    let platforms = platforms.iter().filter_map(|text| berth_spec::platform::Platform::parse(text).ok());
    let worker = WorkerRecord {
        id: "berth".to_owned(),
        labels,
        platforms: platforms
            .map(|platform| Platform {
                architecture: platform.architecture,
                os: platform.os,
                variant: platform.variant.unwrap_or_default(),
            })
            .collect(),
        gc_policy: Vec::new(),
        version: Some(version()),
    };
    ListWorkersResponse { record: vec![worker] }
}

/// Whether a record is meant: any of the filters, all parts of it (`type==exec.cachemount,shared`).
pub(super) fn matches(record: &UsageRecord, filters: &[String]) -> bool {
    let part = |part: &str| {
        let field = |name: &str| match name {
            "id" => record.id.clone(),
            "type" => record.record_type.clone(),
            "description" => record.description.clone(),
            "inuse" => record.in_use.to_string(),
            "mutable" => record.mutable.to_string(),
            "shared" => record.shared.to_string(),
            _ => String::new(),
        };
        match (part.split_once("=="), part.split_once("!="), part.split_once("~=")) {
            (Some((name, value)), ..) => field(name) == value,
            (_, Some((name, value)), _) => field(name) != value,
            (_, _, Some((name, value))) => field(name).contains(value),
            _ => field(part) == "true",
        }
    };
    let meant = |filter: &String| filter.split(',').filter(|one| !one.is_empty()).all(part);
    filters.is_empty() || filters.iter().any(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_mean_records() {
        let record = UsageRecord { id: "a".into(), record_type: "regular".into(), shared: true, ..Default::default() };
        let meant = |filters: &[&str]| matches(&record, &filters.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>());
        assert!(meant(&[]) && meant(&[""]));
        assert!(meant(&["id==a"]) && meant(&["type==regular,shared"]) && meant(&["id==b", "id~=a"]));
        assert!(!meant(&["id==b"]) && !meant(&["shared,inuse"]) && !meant(&["id!=a"]));
    }
}
