//! `GET /info`

use std::{collections::HashMap, sync::Arc};

use axum::extract::State;
use berth_kit::time::{Timestamp, format_nano};
use berth_spec::model::{
    Commit, DeviceInfo, FirewallInfo, IndexInfo, LocalNodeState, PluginsInfo, RegistryServiceConfig, Runtime,
    SwarmInfo, SystemInfo, SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum, SystemInfoIsolationEnum,
};

use crate::{Engine, Facts, Settings, failure::Answer, stream};

/// The registry of names without a host.
const INDEX: &str = "https://index.docker.io/v1/";

pub async fn info(State(engine): State<Arc<Engine>>) -> Answer {
    let settings = engine.settings();
    let mut info = SystemInfo::default();
    add_facts(&mut info, &engine.facts);
    add_kernel(&mut info, &engine.facts);
    add_settings(&mut info, &settings);
    add_state(&mut info, &engine);
    stream::json(&info)
}

fn add_facts(info: &mut SystemInfo, facts: &Facts) {
    info.id = Some(facts.id.clone());
    info.name = Some(facts.hostname.clone());
    info.server_version = Some(facts.version.clone());
    info.driver = Some(facts.storage_driver.clone());
    info.driver_status = Some(vec![
        vec!["Backing Filesystem".to_owned(), facts.backing_filesystem.clone()],
        vec!["Id-mapped Layers".to_owned(), facts.maps_ids.to_string()],
    ]);
    info.docker_root_dir = Some(facts.data_root.clone());
    info.kernel_version = Some(facts.kernel.clone());
    info.operating_system = Some(facts.operating_system.clone());
    info.os_version = Some(facts.os_version.clone());
    info.os_type = Some("linux".to_owned());
    info.architecture = Some(facts.architecture.clone());
    info.ncpu = Some(facts.cpus);
    info.mem_total = Some(facts.memory_bytes);
    info.logging_driver = Some(facts.log_driver.clone());
    info.security_options = Some(facts.security_options.clone());
    info.isolation = Some(SystemInfoIsolationEnum::EMPTY);
    info.default_address_pools = Some(facts.address_pools.clone());
    info.index_server_address = Some(INDEX.to_owned());
    let this = || Commit { id: Some(facts.commit.clone()) };
    (info.containerd_commit, info.runc_commit, info.init_commit) = (Some(this()), Some(this()), Some(this()));
    info.init_binary = Some("berth-init".to_owned());
    info.default_runtime = Some("berth".to_owned());
    let runtime = Runtime { path: Some("berth".to_owned()), ..Runtime::default() };
    let machines = Runtime {
        path: Some("berth".to_owned()),
        status: Some(berth_container::machine::facts().into_iter().collect()),
        ..Runtime::default()
    };
    info.runtimes =
        Some(HashMap::from([("berth".to_owned(), runtime), (berth_container::machine::RUNTIME.to_owned(), machines)]));
    info.swarm = Some(SwarmInfo {
        node_id: Some(String::new()),
        node_addr: Some(String::new()),
        local_node_state: Some(LocalNodeState::INACTIVE),
        control_available: Some(false),
        error: Some(String::new()),
        ..SwarmInfo::default()
    });
}

fn add_kernel(info: &mut SystemInfo, facts: &Facts) {
    let has = |name: &str| Some(facts.controllers.iter().any(|controller| controller == name));
    info.cgroup_driver = Some(match facts.systemd_cgroup {
        _ if facts.no_cgroups => SystemInfoCgroupDriverEnum::NONE,
        true => SystemInfoCgroupDriverEnum::SYSTEMD,
        false => SystemInfoCgroupDriverEnum::CGROUPFS,
    });
    info.cgroup_version = Some(match facts.cgroup_version {
        2 => SystemInfoCgroupVersionEnum::_2,
        _ => SystemInfoCgroupVersionEnum::_1,
    });
    info.memory_limit = has("memory");
    info.swap_limit = Some(facts.swap_limit);
    info.oom_kill_disable = Some(facts.cgroup_version == 1 && has("memory") == Some(true));
    info.cpu_shares = has("cpu");
    info.cpu_cfs_period = has("cpu");
    info.cpu_cfs_quota = has("cpu");
    info.cpu_set = has("cpuset");
    info.pids_limit = has("pids");
    let forwarding = std::fs::read("/proc/sys/net/ipv4/ip_forward");
    info.ipv4_forwarding = Some(forwarding.is_ok_and(|value| value.first() == Some(&b'1')));
}

fn add_settings(info: &mut SystemInfo, settings: &Settings) {
    info.debug = Some(settings.debug);
    info.experimental_build = Some(settings.experimental);
    info.labels = Some(settings.labels.clone());
    info.live_restore_enabled = Some(settings.live_restore);
    let proxy = |key| Some(settings.proxies.get(key).cloned().unwrap_or_default());
    (info.http_proxy, info.https_proxy, info.no_proxy) = (proxy("http"), proxy("https"), proxy("no"));
    let index = IndexInfo {
        name: Some("docker.io".to_owned()),
        mirrors: Some(settings.registry_mirrors.clone()),
        secure: Some(true),
        official: Some(true),
    };
    let (ranges, hosts): (Vec<_>, Vec<_>) =
        settings.insecure_registries.iter().cloned().partition(|registry| registry.contains('/'));
    let insecure = |name: &String| {
        let index = IndexInfo {
            name: Some(name.clone()),
            mirrors: Some(Vec::new()),
            secure: Some(false),
            official: Some(false),
        };
        (name.clone(), index)
    };
    let mut configs: HashMap<_, _> = hosts.iter().map(insecure).collect();
    configs.insert("docker.io".to_owned(), index);
    info.registry_config = Some(RegistryServiceConfig {
        insecure_registry_cidrs: Some(
            ["::1/128".to_owned(), "127.0.0.0/8".to_owned()].into_iter().chain(ranges).collect(),
        ),
        index_configs: Some(configs),
        mirrors: Some(settings.registry_mirrors.clone()),
    });
}

fn add_state(info: &mut SystemInfo, engine: &Engine) {
    let count = |number: usize| Some(i64::try_from(number).unwrap_or(i64::MAX));
    let counts = engine.containers.counts();
    info.containers = count(counts.total);
    info.containers_running = count(counts.running);
    info.containers_paused = count(counts.paused);
    info.containers_stopped = count(counts.stopped);
    info.images = count(engine.images.count());
    info.n_events_listener = count(engine.events.listeners());
    info.nfd = count(std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count));
    info.n_goroutines = count(std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count));
    let warnings = engine.facts.warnings.iter().cloned().chain(engine.networks.warnings());
    info.warnings = Some(warnings.collect());
    info.system_time = Some(format_nano(Timestamp::now()));
    info.firewall_backend = Some(FirewallInfo { driver: Some(engine.networks.firewall_name().to_owned()), info: None });
    let (dirs, devices) = engine.containers.described_devices();
    info.cdi_spec_dirs = Some(dirs.iter().map(|dir| dir.display().to_string()).collect());
    let device = |id: String| DeviceInfo { source: Some("cdi".to_owned()), id: Some(id) };
    info.discovered_devices = Some(devices.into_iter().map(device).collect());
    let names = |list: &[&str]| Some(list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    info.plugins = Some(PluginsInfo {
        volume: Some(engine.volumes.drivers()),
        network: names(&["bridge", "cni", "host", "ipvlan", "macvlan", "null"]),
        authorization: None,
        log: Some(engine.facts.log_drivers.clone()),
    });
}
