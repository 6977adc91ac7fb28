//! `inspect`: everything about a container, from memory.

use std::collections::HashMap;

use berth_kit::time::{format_nano, format_optional};
use berth_spec::model::{
    ContainerInspectResponse, ContainerState, DriverData, EndpointSettings, MountPoint, NetworkSettings, PortBinding,
    PortMap,
};
use serde_json::json;

use crate::{
    Containers, Result, bundle,
    containers::Container,
    record::{MountKind, Record, Status},
};

impl Containers {
    /// All that is known about a container; its sizes too when `size`.
    ///
    /// # Errors
    /// [`crate::Error::NoSuchContainer`].
    pub async fn inspect(&self, name: &str, size: bool) -> Result<ContainerInspectResponse> {
        let container = self.shared.find(name)?;
        let mut answer = self.describe(&container);
        if size {
            let (own, all) = self.sizes(&container.id).await;
            answer.size_rw = Some(own);
            answer.size_root_fs = Some(all);
        }
        Ok(answer)
    }

    fn describe(&self, container: &Container) -> ContainerInspectResponse {
        let record = container.read().clone();
        let dir = self.shared.config.container_dir(&record.id);
        let file = |name: &str| Some(dir.join(name).display().to_string());
        let command = record.command();
        let execs = self.shared.execs.of(&record.id);
        let readable = record.host.log_config.as_ref().is_some_and(|log| log.typ.as_deref() == Some("json-file"));
        let log = bundle::log_path(&self.shared.config, &record).display().to_string();
        ContainerInspectResponse {
            id: Some(record.id.clone()),
            created: Some(format_nano(record.created)),
            path: Some(command.first().cloned().unwrap_or_default()),
            args: Some(command.get(1..).unwrap_or_default().to_vec()),
            state: Some(state(&record, container)),
            image: Some(record.image_id.clone()),
            resolv_conf_path: file("resolv.conf"),
            hostname_path: file("hostname"),
            hosts_path: file("hosts"),
            log_path: Some(if readable { log } else { String::new() }),
            name: Some(format!("/{}", record.name)),
            restart_count: Some(record.restart_count),
            driver: Some("overlay2".to_owned()),
            platform: Some("linux".to_owned()),
            mount_label: Some(String::new()),
            process_label: Some(String::new()),
            app_armor_profile: Some(String::new()),
            exec_ids: Some(execs).filter(|execs| !execs.is_empty()),
            graph_driver: Some(self.graph_driver(&record.id)),
            mounts: Some(mounts(&record)),
            network_settings: Some(network_settings(&record)),
            host_config: Some(self.shown_host(&record)),
            config: Some(record.config),
            ..ContainerInspectResponse::default()
        }
    }

    /// Host settings with what the engine decided: the user namespace that was turned off says so.
    fn shown_host(&self, record: &Record) -> berth_spec::model::HostConfig {
        let mut host = record.host.clone();
        let own_user = record.state.id_range.is_some();
        if record.state.status.is_alive() && !own_user && host.userns_mode.as_deref().unwrap_or("").is_empty() {
            host.userns_mode = Some("host".to_owned());
        }
        if record.network_mode() == "bridge" {
            host.links = crate::link::shown(record);
        }
        if crate::machine::is_wanted(record) {
            host.annotations.get_or_insert_default().extend(self.machine_facts(record));
        }
        host
    }

    fn graph_driver(&self, id: &str) -> DriverData {
        let mut data = HashMap::new();
        if let Ok(rootfs) = self.shared.snapshots.rootfs(id) {
            let lower: Vec<String> = rootfs.lower.iter().map(|dir| dir.display().to_string()).collect();
            data.insert("LowerDir".to_owned(), lower.join(":"));
            data.insert("UpperDir".to_owned(), rootfs.upper.display().to_string());
            data.insert("WorkDir".to_owned(), rootfs.work.display().to_string());
        }
        DriverData { name: "overlay2".to_owned(), data }
    }
}

fn state(record: &Record, container: &Container) -> ContainerState {
    let state = &record.state;
    ContainerState {
        status: serde_json::from_value(json!(state.status.as_str())).ok(),
        running: Some(state.status.is_alive() || state.status == Status::Restarting),
        paused: Some(state.status == Status::Paused),
        restarting: Some(state.status == Status::Restarting),
        oom_killed: Some(state.oom_killed),
        dead: Some(state.status == Status::Dead),
        pid: Some(i64::from(if state.status.is_alive() { state.pid } else { 0 })),
        exit_code: Some(state.exit_code),
        error: Some(state.error.clone()),
        started_at: Some(format_optional(state.started_at)),
        finished_at: Some(format_optional(state.finished_at)),
        health: container.health().report(),
    }
}

/// The mounts as users see them.
pub(crate) fn mounts(record: &Record) -> Vec<MountPoint> {
    let tmpfs_by_flag = |destination: &str| record.host.tmpfs.as_ref().is_some_and(|all| all.contains_key(destination));
    let shown =
        record.mounts.iter().filter(|mount| mount.kind != MountKind::Tmpfs || !tmpfs_by_flag(&mount.destination));
    shown
        .map(|mount| MountPoint {
            typ: Some(mount.kind.as_str().to_owned()),
            name: Some(mount.name.clone()).filter(|name| !name.is_empty()),
            source: Some(mount.source.clone()),
            destination: Some(mount.destination.clone()),
            driver: Some(mount.driver.clone()).filter(|driver| !driver.is_empty()),
            mode: Some(mount.mode.clone()),
            rw: Some(mount.writable),
            propagation: Some(mount.propagation.clone()),
        })
        .collect()
}

/// The networks of a running container, or those it will be attached to.
pub(crate) fn networks(record: &Record) -> HashMap<String, EndpointSettings> {
    if !record.network.networks.is_empty() {
        return record.network.networks.clone().into_iter().collect();
    }
    if record.network_mode().starts_with("container:") {
        return HashMap::new();
    }
    let planned = record.endpoints.clone().into_iter();
    planned.map(|(name, settings)| (name, crate::endpoint::complete(settings))).collect()
}

fn network_settings(record: &Record) -> NetworkSettings {
    let mut ports = PortMap::new();
    for (port, bindings) in &record.network.ports {
        let bound = |binding: &crate::record::Binding| PortBinding {
            host_ip: Some(binding.host_ip.clone()),
            host_port: Some(binding.host_port.to_string()),
        };
        let list: Vec<PortBinding> = bindings.iter().map(bound).collect();
        ports.insert(port.clone(), Some(list).filter(|list| !list.is_empty()));
    }
    let running = record.state.status.is_alive();
    NetworkSettings {
        sandbox_id: Some(if running { record.id.clone() } else { String::new() }),
        sandbox_key: Some(if running { format!("/proc/{}/ns/net", record.state.pid) } else { String::new() }),
        ports: Some(ports),
        networks: Some(networks(record)),
    }
}
