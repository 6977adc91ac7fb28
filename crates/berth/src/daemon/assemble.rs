//! The nouns, put together and brought back to where they were.

use std::{
    os::fd::IntoRawFd as _,
    path::PathBuf,
    sync::{Arc, RwLock},
    time::Duration,
};

use anyhow::{Context, Result};
use berth_api::{Engine, Settings};
use berth_container::Containers;
use berth_event::Bus;
use berth_image::{Images, InUse};
use berth_machine::Machines;
use berth_network::Networks;
use berth_snapshot::{Snapshotter, copy::Copy, erofs::Erofs, overlay::Overlay};
use berth_volume::Volumes;

use super::{configuration::Configuration, facts, listen::Listeners};
use crate::rootless;

/// This program, even after its file was replaced by a newer one.
const SELF: &str = "/proc/self/exe";

/// The program that supervisors are started from: this one, seen through a read-only mount of its own, so that no
/// container which reaches the engine's program by `/proc/<pid>/exe` can write to it.
fn program() -> PathBuf {
    match berth_sys::exe::exe_readonly() {
        // Kept for as long as the daemon lives; a child that is started from it finds it under the same number.
        Ok(descriptor) => PathBuf::from(format!("/proc/self/fd/{}", descriptor.into_raw_fd())),
        Err(error) => {
            let reason = "containers without a user namespace could overwrite it";
            tracing::warn!(%error, "cannot show supervisors a read-only view of the program; {reason}");
            PathBuf::from(SELF)
        }
    }
}

/// Opens all stores and nouns and finds the containers of an earlier daemon.
///
/// # Errors
/// Names the store that cannot be opened.
pub async fn engine(configuration: &Arc<Configuration>, listeners: &Listeners) -> Result<Arc<Engine>> {
    let root = &configuration.data_root;
    let store = berth_record::Store::open(&root.join("berth.db"))?;
    let content = berth_content::Store::open(&root.join("content"))?;
    let snapshots: Arc<dyn Snapshotter> = match configuration.storage_driver.as_str() {
        "copy" => Arc::new(Copy::open(&root.join("copy"))?),
        "erofs" => Arc::new(Erofs::open(&root.join("erofs"), configuration.erofs_verity)?),
        _ => Arc::new(Overlay::open(&root.join("overlay"))?),
    };
    let events = Bus::default();
    let volume_config = berth_volume::Config {
        data_root: root.clone(),
        runtime_root: configuration.exec_root.clone(),
        plugins: berth_volume::plugin::Settings::default(),
    };
    let volumes = Volumes::open(&volume_config, store.clone(), events.clone())?;
    let images = Images::open(store.clone(), snapshots.clone(), content, events.clone())?;
    let exe = program();
    let is_between = rootless::is_inside();
    let dir = configuration.exec_root.join(if is_between { "rootless" } else { "relay" });
    let relay = berth_network::relay::RelayProcess { exe: exe.clone(), dir, is_between };
    let network_config = berth_network::NetworkConfig { relay: Some(relay), ..configuration.network.clone() };
    let networks =
        Networks::open(network_config, store.clone(), events.clone()).await.context("cannot open the networks")?;
    let containers = Containers::new(
        container_config(configuration, exe.clone()),
        store.clone(),
        snapshots.clone(),
        images.clone(),
        networks.clone(),
        volumes.clone(),
        events.clone(),
    );
    images.set_verification(configuration.verification.clone());
    images.set_watermarks(configuration.pressure);
    images.set_in_use(Arc::new(Users(containers.clone())));
    let builder = {
        let (images, containers) = (images.clone(), containers.clone());
        berth_build::Builder::open(&root.join("build"), store, images, containers, snapshots, None)?
    };
    let machines = {
        let (config, networks, events) = (machine_config(configuration, exe), networks.clone(), events.clone());
        tokio::task::spawn_blocking(move || Machines::open(config, networks, events)).await?
    };
    let machines = machines.context("cannot open the machines")?;
    let living = machines.recover().await;
    containers.recover(&living).await.context("cannot recover the containers")?;
    let starting = machines.clone();
    tokio::spawn(async move { starting.autostart().await });
    let facts = facts::gather(configuration, listeners);
    tidy_later(&images, &volumes, root.clone());
    let settings = RwLock::new(Arc::new(settings(configuration)));
    Ok(Arc::new(Engine { containers, images, machines, networks, volumes, builder, events, facts, settings }))
}

/// Removes what an earlier daemon left half done, after the first requests had their turn.
/// From then on, unused images go when the disk fills up.
fn tidy_later(images: &Images, volumes: &Volumes, root: PathBuf) {
    let (images, volumes) = (images.clone(), volumes.clone());
    images.expect_sweep();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let _ = tokio::task::spawn_blocking(move || volumes.sweep()).await;
        if let Err(error) = images.sweep().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot sweep the images");
        }
        berth_sys::allocator::trim();
        images.stay_low(&root).await;
    });
}

/// Tells the images who uses them.
struct Users(Containers);

impl InUse for Users {
    fn containers_of(&self, image_id: &str) -> Vec<(String, bool)> {
        self.0.of_image(image_id)
    }
}

fn machine_config(configuration: &Configuration, exe: PathBuf) -> berth_machine::Config {
    berth_machine::Config {
        data_root: configuration.data_root.clone(),
        runtime_root: configuration.exec_root.clone(),
        exe,
        cgroup_parent: configuration.cgroup_parent.clone(),
        dns: configuration.values.list("dns").iter().filter_map(|server| server.parse().ok()).collect(),
    }
}

fn container_config(configuration: &Configuration, exe: PathBuf) -> berth_container::Config {
    let values = &configuration.values;
    berth_container::Config {
        data_root: configuration.data_root.clone(),
        runtime_root: configuration.exec_root.clone(),
        exe,
        log: berth_container::LogDefault {
            driver: configuration.log_driver.clone(),
            options: configuration.log_options(),
        },
        ulimits: configuration.ulimits.clone(),
        cgroup_parent: configuration.cgroup_parent.clone(),
        systemd_cgroup: configuration.systemd_cgroup,
        shm_bytes: configuration.shm_bytes,
        init: values.flag("init"),
        no_new_privileges: values.flag("no-new-privileges"),
        seccomp_profile: configuration.seccomp_profile.clone(),
        stop_timeout_s: configuration.stop_timeout_s,
        cdi_dirs: cdi_dirs(configuration),
        dns: values.list("dns"),
        dns_options: values.list("dns-opts"),
        dns_search: values.list("dns-search"),
    }
}

/// Where vendors' descriptions of devices are.
fn cdi_dirs(configuration: &Configuration) -> Vec<PathBuf> {
    let given = configuration.values.list("cdi-spec-dirs");
    if given.is_empty() {
        berth_cdi::DEFAULT_DIRS.map(PathBuf::from).to_vec()
    } else {
        given.into_iter().map(PathBuf::from).collect()
    }
}

/// What `info` shows and a reload may change.
pub fn settings(configuration: &Configuration) -> Settings {
    let values = &configuration.values;
    // The section `proxies` of the file has the same keys as the flags, which come first.
    let section = |key: &str| values.0.get("proxies")?.get(key)?.as_str().map(str::to_owned);
    let proxy = |key: &str| values.text(key).map(str::to_owned).or_else(|| section(key));
    let count = |key: &str| values.number(key).and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
    let proxies = [("http", proxy("http-proxy")), ("https", proxy("https-proxy")), ("no", proxy("no-proxy"))];
    Settings {
        debug: values.flag("debug"),
        experimental: values.flag("experimental"),
        labels: values.list("labels"),
        live_restore: values.flag("live-restore"),
        registry_mirrors: values.list("registry-mirrors"),
        insecure_registries: values.list("insecure-registries"),
        proxies: proxies.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
        token_servers: values.list("token-servers"),
        downloads: count("max-concurrent-downloads"),
        uploads: count("max-concurrent-uploads"),
    }
}

/// Stops the containers, or leaves them to their supervisors with live-restore.
pub async fn shut_down(engine: &Engine, configuration: &Configuration) {
    let limit_s = configuration.values.number("shutdown-timeout").unwrap_or(15);
    let work = engine.containers.shutdown(configuration.values.flag("live-restore"));
    // A negative timeout waits for as long as it takes.
    match u64::try_from(limit_s) {
        Err(_) => work.await,
        Ok(limit_s) => {
            if tokio::time::timeout(Duration::from_secs(limit_s), work).await.is_err() {
                tracing::warn!(
                    limit_s,
                    "some containers did not stop in time; they go on, and the next daemon finds them"
                );
            }
        }
    }
    if let Err(error) = engine.networks.close().await {
        tracing::warn!(%error, "kernel settings stay as the networks needed them");
    }
    engine.images.close();
}
