//! The bundle on disk: what the supervisor reads.

use std::{
    collections::BTreeMap,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use berth_log::{ContainerTags, LogConfig};
use berth_runtime::{Bundle, Extension, IdRange};
use berth_supervisor::Settings;
use oci_spec::runtime::Spec;

use crate::{
    Containers, Error, Result,
    record::{Mount, MountKind, Record},
};

/// Writes config.json and berth.json.
pub fn write(
    containers: &Containers,
    record: &Record,
    spec: Spec,
    dir: &Path,
    console: Option<(u16, u16)>,
) -> Result<()> {
    let rootfs = containers.rootfs_of(record)?;
    write_on(containers, record, spec, dir, console, rootfs)
}

/// As [`write`], on a root file system of the caller's.
pub fn write_on(
    containers: &Containers,
    record: &Record,
    spec: Spec,
    dir: &Path,
    console: Option<(u16, u16)>,
    rootfs: berth_snapshot::Rootfs,
) -> Result<()> {
    let config = &containers.shared.config;
    let settings = Settings {
        tags: tags(record),
        open_stdin: record.config.open_stdin.unwrap_or(false),
        stdin_once: record.config.stdin_once.unwrap_or(false),
        size: console,
        ..Settings::new(log_config(record), log_path(config, record))
    };
    let extension = Extension {
        rootfs: Some(rootfs),
        layered: containers.layered_mounts(record)?,
        id_range: record.state.id_range.map(|range| IdRange { host_base: range.host_base, len: range.len }),
        init: record.host.init.unwrap_or(false),
        systemd: config.systemd_cgroup,
        groups: record.host.group_add.clone().unwrap_or_default(),
        subpaths: if crate::machine::is_wanted(record) { BTreeMap::new() } else { subpaths(record) },
        ..Extension::default()
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| Error::file("make directory", dir, error))?;
    settings.write(dir)?;
    let bundle = Bundle { dir: dir.to_owned(), spec, extension };
    bundle.store().map_err(|error| Error::step("write the bundle", &record.id, error))
}

/// Parts of volumes that are mounted, by destination.
fn subpaths(record: &Record) -> BTreeMap<PathBuf, PathBuf> {
    let is_part = |mount: &&Mount| mount.kind == MountKind::Volume && !mount.subpath.is_empty();
    let parts = record.mounts.iter().filter(is_part);
    parts.map(|mount| (PathBuf::from(&mount.destination), PathBuf::from(&mount.subpath))).collect()
}

/// The record's log driver and options.
pub fn log_config(record: &Record) -> LogConfig {
    let log = record.host.log_config.clone().unwrap_or_default();
    LogConfig { driver: log.typ.unwrap_or_default(), options: log.config.unwrap_or_default().into_iter().collect() }
}

/// Where a driver that writes files puts them.
pub fn log_path(config: &crate::Config, record: &Record) -> std::path::PathBuf {
    config.container_dir(&record.id).join(format!("{}-json.log", record.id))
}

fn tags(record: &Record) -> ContainerTags {
    let labels: BTreeMap<String, String> =
        record.config.labels.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    ContainerTags {
        id: record.id.clone(),
        name: record.name.clone(),
        image_id: record.image_id.clone(),
        image_name: record.image_ref.clone(),
        command: record.command().join(" "),
        labels,
        env: record.config.env.clone().unwrap_or_default(),
    }
}
