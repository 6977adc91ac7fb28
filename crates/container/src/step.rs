//! One step of a build: a command in a container of the engine's default isolation, on a root file system that the
//! caller made and keeps.
//!
//! A step has no name, no log and no place in the table of containers. Its record says "removing" from the first line
//! on, so that a daemon that dies meanwhile finds it at its next start and takes everything away.

use std::path::PathBuf;

use berth_kit::time::Timestamp;
use berth_record::Durability;
use berth_snapshot::Rootfs;
use berth_spec::model::{ContainerConfig, HostConfig};
use berth_supervisor::{ExitRecord, client::Watch};
use tokio::net::UnixStream;

use crate::{
    Containers, Error, Result, bundle, device_request, identity, oci_spec,
    record::{Attachment, Mount, MountKind, Record, State, Status, TABLE, VERSION},
    start::start_error,
};

/// A command to run.
#[derive(Debug, Clone)]
pub struct StepRequest {
    /// What it runs on; the caller keeps the directories until the step is finished.
    pub rootfs: Rootfs,
    /// Command, environment, user, working directory.
    pub config: ContainerConfig,
    /// Network, limits, hosts; what is not set is the daemon's default.
    pub host: HostConfig,
    /// Mounted in this order.
    pub mounts: Vec<StepMount>,
}

/// A mount of a step.
#[derive(Debug, Clone)]
pub struct StepMount {
    /// Directory or file of the host; `None` for a file system in memory.
    pub source: Option<PathBuf>,
    /// Clean absolute path in the container.
    pub destination: String,
    /// Writable.
    pub writable: bool,
    /// Options of a file system in memory: `size=64m`.
    pub tmpfs_options: Vec<String>,
}

/// A command that runs. Dropped before [`RunningStep::finish`] it is killed and taken away in the background.
pub struct RunningStep {
    containers: Containers,
    record: Option<Record>,
    watch: Watch,
    /// Its output in Docker's frames; ends with the process.
    pub output: UnixStream,
}

impl Containers {
    /// Starts a step.
    ///
    /// # Errors
    /// [`Error::Start`] when the command cannot be started, [`Error::Network`], or what fails on the way; nothing is
    /// left behind then.
    pub async fn run_step(&self, request: StepRequest) -> Result<RunningStep> {
        // A caller that gives up meanwhile must leave no half of a step: the start goes to its end by itself, and a
        // step that nobody takes is dropped, which takes it away.
        let containers = self.clone();
        match tokio::spawn(async move { containers.start_step(request).await }).await {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    async fn start_step(&self, request: StepRequest) -> Result<RunningStep> {
        let StepRequest { rootfs, config, host, mounts } = request;
        let mut record = draft(config, host, &mounts);
        self.merge_defaults(&mut record);
        self.shared.store.put(TABLE, &record.id, &record, &"", Durability::Crash)?;
        match self.launch_step(&mut record, rootfs, &mounts).await {
            Ok((watch, output)) => Ok(RunningStep { containers: self.clone(), record: Some(record), watch, output }),
            Err(error) => {
                self.end_step(&record).await;
                Err(error)
            }
        }
    }

    async fn launch_step(
        &self,
        record: &mut Record,
        rootfs: Rootfs,
        mounts: &[StepMount],
    ) -> Result<(Watch, UnixStream)> {
        let config = &self.shared.config;
        let files = config.container_dir(&record.id);
        identity::write_first(&files, record)?;
        let namespaces = self.namespaces_of(record, true)?;
        record.state.id_range = self.take_ids(&namespaces)?;
        let sources: Vec<PathBuf> = mounts.iter().map(|mount| mount.source.clone().unwrap_or_default()).collect();
        let edits = device_request::resolve(&record.host, &config.cdi_dirs)?;
        let spec = oci_spec::build(&oci_spec::Input {
            record,
            config,
            namespaces: &namespaces,
            ids: record.state.id_range,
            sources: &sources,
            files: &files,
            cgroup: &self.shared.cgroup_path(record),
            edits: &edits,
            linked: &[],
            console: None,
        })?;
        let dir = config.bundle_dir(&record.id);
        bundle::write_on(self, record, spec, &dir, None, rootfs)?;
        let spawned = berth_supervisor::spawn(&dir, &config.exe).await.map_err(start_error)?;
        let pid = u32::try_from(spawned.pid).unwrap_or(0);
        let (network, watch, output) = tokio::join!(
            self.attach_network(record, &namespaces, pid),
            spawned.handle.watch(),
            spawned.handle.attach(false, true, true),
        );
        record.network = network?;
        let (watch, output) = (watch?, output?);
        spawned.handle.start().await.map_err(start_error)?;
        Ok((watch, output))
    }

    /// Takes away all that a step had.
    async fn end_step(&self, record: &Record) {
        self.release(record).await;
        let _ = tokio::fs::remove_dir_all(self.shared.config.container_dir(&record.id)).await;
        if let Err(error) = self.shared.store.delete(TABLE, &record.id, Durability::Crash) {
            tracing::warn!(step = record.id, error = &error as &dyn std::error::Error, "cannot delete a step's record");
        }
    }
}

impl RunningStep {
    /// The identifier, as of a container.
    #[must_use]
    pub fn id(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.id)
    }

    /// Waits for the end; read `output` to its end first, or beside it.
    ///
    /// # Errors
    /// [`Error::Supervisor`] when the supervisor was killed before it could record the end.
    pub async fn wait(&mut self) -> Result<ExitRecord> {
        self.watch.exited().await.map_err(Error::Supervisor)
    }

    /// Takes the container away; on return nothing uses the root file system any more.
    pub async fn finish(mut self) {
        if let Some(record) = self.record.take() {
            self.containers.end_step(&record).await;
        }
    }
}

impl Drop for RunningStep {
    fn drop(&mut self) {
        let (Some(record), Ok(runtime)) = (self.record.take(), tokio::runtime::Handle::try_current()) else { return };
        let containers = self.containers.clone();
        runtime.spawn(async move { containers.end_step(&record).await });
    }
}

fn draft(config: ContainerConfig, host: HostConfig, mounts: &[StepMount]) -> Record {
    Record {
        version: VERSION,
        id: berth_kit::id::generate(),
        name: String::new(),
        created: Timestamp::now(),
        image_id: String::new(),
        image_ref: String::new(),
        config,
        host: HostConfig { auto_remove: Some(true), ..host },
        endpoints: std::collections::BTreeMap::new(),
        mounts: mounts.iter().map(mount).collect(),
        state: State { status: Status::Removing, ..State::default() },
        restart_count: 0,
        stopped_by_user: false,
        network: Attachment::default(),
    }
}

fn mount(step: &StepMount) -> Mount {
    Mount {
        kind: if step.source.is_some() { MountKind::Bind } else { MountKind::Tmpfs },
        name: String::new(),
        source: step.source.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        destination: step.destination.clone(),
        driver: String::new(),
        mode: String::new(),
        writable: step.writable,
        propagation: String::new(),
        anonymous: false,
        no_copy: true,
        subpath: String::new(),
        non_recursive: true,
        read_only_top: false,
        create_source: false,
        tmpfs_options: step.tmpfs_options.clone(),
        from_image: false,
        snapshot: String::new(),
    }
}
