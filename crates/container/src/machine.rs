//! Containers behind a hardware wall: `--runtime io.berth.vm`, which `--isolation vm` stands for.
//!
//! The container's own process is a monitor in a jail (see `berth_vm::jail`): its network namespace, control group and
//! ids are what the engine works with. The container's specification is carried out in the guest, where the machine is
//! the wall and the namespaces that separate it from the guest's agent are the runtime's own.

pub(crate) mod monitor;
mod template;
pub(crate) mod tool;

pub use monitor::facts;

use std::path::{Path, PathBuf};

use ::oci_spec::runtime::LinuxResources;
use berth_runtime::Bundle;
use berth_supervisor::protocol::About;
use berth_vm::{
    doctor::{self, Finding},
    ext4, host,
    image::Images,
    kernel::{self, Installed, Source, Store},
    message::{ProcessLine, Upper, Usage},
    plan::{Backend, Plan},
    template::Templates,
};

use crate::{
    Containers, Error, Result,
    oci_spec::{self, Joined, Namespaces},
    record::{MountKind, Record},
    rootfs::blocking,
};

/// The runtime's name.
pub const RUNTIME: &str = "io.berth.vm";
/// Memory of a guest whose container has no limit, and the least: a guest is memory for its kernel too.
const MEMORY_BYTES: u64 = 1 << 30;
/// What the guest needs beside the container's memory.
const GUEST_BYTES: u64 = 128 << 20;
/// How much a container may change unless it says (`--storage-opt size=`), in bytes; the file takes what is written.
const DISK_BYTES: u64 = 10 << 30;
/// The largest disk that its file system can be written for.
const DISK_BYTES_MAX: u64 = 1 << 40;
/// What the monitor needs beside the guest's memory, mostly for translated code where it interprets.
const MONITOR_BYTES: i64 = 384 << 20;

/// Whether a record's container is a machine's.
pub fn is_wanted(record: &Record) -> bool {
    record.host.runtime.as_deref() == Some(RUNTIME)
}

/// Refuses what a machine cannot have.
pub fn check(record: &Record) -> Result<()> {
    let host = &record.host;
    monitor::asked_for(record)?;
    let shares = |mode: Option<&str>| mode.is_some_and(|mode| mode == "host" || mode.starts_with("container:"));
    for (what, mode) in [
        ("--network", host.network_mode.as_deref()),
        ("--pid", host.pid_mode.as_deref()),
        ("--ipc", host.ipc_mode.as_deref()),
        ("--uts", host.uts_mode.as_deref()),
    ] {
        if shares(mode) {
            let mode = mode.unwrap_or_default();
            return Err(Error::Invalid(format!(
                "{what}={mode} cannot be used with a virtual machine: it has a kernel of its own"
            )));
        }
    }
    if record.mounts.iter().any(|mount| mount.kind == MountKind::Image) {
        return Err(Error::Invalid(
            "a mount of type image cannot be used with a virtual machine: copy what is needed to a volume".to_owned(),
        ));
    }
    disk_bytes(record)?;
    let requested = host.device_requests.as_ref().is_some_and(|requests| !requests.is_empty());
    if requested || host.devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
        return Err(Error::Invalid(
            "--device cannot be used with a virtual machine: its kernel has devices of its own".to_owned(),
        ));
    }
    Ok(())
}

/// The namespaces of the monitor's jail.
pub fn jail() -> Namespaces {
    Namespaces {
        user: Joined::New,
        network: Joined::New,
        pid: Joined::New,
        ipc: Joined::New,
        uts: Joined::New,
        cgroup: Joined::New,
        time: Joined::Host,
    }
}

/// The namespaces of the container in the guest, whose network is the guest's.
pub fn guest() -> Namespaces {
    Namespaces { user: Joined::Host, network: Joined::Host, ..jail() }
}

impl Containers {
    /// Writes what makes a bundle a machine's. The bundle has the guest's specification already. Returns a plan for
    /// which a template is worth to be made.
    pub(crate) async fn write_machine(&self, record: &Record, bundle: &Path) -> Result<Option<Plan>> {
        let ids =
            record.state.id_range.ok_or_else(|| Error::Invalid("a virtual machine needs ids of its own".to_owned()))?;
        let written = Bundle::load(bundle).map_err(|error| Error::step("read the bundle", &record.id, error))?;
        let process = (written.extension.init, written.extension.groups);
        let cgroup = self.shared.cgroup_path(record);
        let (plan, warm) = self.plan(record, (ids.host_base, ids.len), cgroup, process).await?;
        // Who serves directories has a state that no template can have; the engine's own monitor always boots.
        let templates = !monitor::shares(record) && plan.backend != Backend::BerthKvm;
        let plan = Plan { template: plan.template.filter(|_| templates), ..plan };
        plan.write(bundle).map_err(refused)?;
        Ok((templates && !warm).then_some(plan))
    }

    /// The machine of a container, with a template where there is one; whether there is.
    async fn plan(
        &self,
        record: &Record,
        ids: (u32, u32),
        cgroup: String,
        (init, groups): (bool, Vec<String>),
    ) -> Result<(Plan, bool)> {
        let config = &self.shared.config;
        let root = config.data_root.join("vm");
        let rootfs = self.rootfs_of(record)?;
        let wanted = monitor::wanted(record)?;
        let (record, files, exe) = (record.clone(), config.container_dir(&record.id), config.exe.clone());
        blocking(move || {
            let choice = host::choose(wanted).map_err(refused)?;
            let boot = Store::new(&root).boot(&exe).map_err(refused)?;
            let image = Images::new(&root).of(&rootfs).map_err(refused)?;
            let memory = memory(&record);
            let plan = Plan {
                version: Plan::VERSION,
                backend: choice.backend,
                why: choice.why,
                program: choice.program,
                boot,
                memory_bytes: memory,
                vcpus: wanted.vcpus,
                image,
                upper: upper(&record),
                disk: disk(&record, &files)?,
                disk_bytes: disk_bytes(&record)?,
                volatile: record.auto_remove(),
                nics: wanted.nics,
                ids,
                cgroup,
                resources: limits(&record, memory)?,
                files,
                host_name: record.config.hostname.clone().unwrap_or_default(),
                sysctls: sysctls(&record),
                init,
                groups,
                template: None,
            };
            let template = Some(Templates::new(&root).path(&plan)).filter(|path| path.exists());
            let is_warm = template.is_some();
            Ok((Plan { template, ..plan }, is_warm))
        })
        .await
    }
}

impl Containers {
    /// What a container uses, as its guest's kernel says; `None` where it does not answer.
    pub(crate) async fn machine_usage(&self, id: &str) -> Option<Usage> {
        let told = self.supervisor(id).await.ok()?.inquire(About::Usage).await.ok()?;
        serde_json::from_value(told).ok()
    }

    /// The processes of a container, as its guest's kernel says.
    pub(crate) async fn machine_processes(&self, id: &str) -> Result<Vec<ProcessLine>> {
        let told = self.supervisor(id).await?.inquire(About::Processes).await?;
        serde_json::from_value(told).map_err(|error| Error::Conflict(format!("the guest's answer: {error}")))
    }

    /// Changes the limits of a running machine: processors by the monitor's control group, all else in the guest.
    pub(crate) async fn machine_limits(&self, before: &Record, after: &Record, wanted: LinuxResources) -> Result<()> {
        // A machine has the memory that it was started with.
        if memory(after) > memory(before) {
            let mib = (memory(before) - GUEST_BYTES) >> 20;
            return Err(Error::Invalid(format!(
                "the running virtual machine has room for {mib} MiB: a higher memory limit needs a container made with it"
            )));
        }
        let mut own = limits(after, memory(before))?;
        own.set_memory(None);
        let cgroup = self.shared.cgroup(before)?;
        cgroup.update(&own).map_err(|error| Error::step("update the limits", &before.id, error))?;
        let mut guests = wanted;
        guests.set_cpu(None);
        let handle = self.supervisor(&before.id).await?;
        handle.inquire(About::Limits(Box::new(guests))).await.map(drop).map_err(Error::Supervisor)
    }

    /// What this host has for virtual machines.
    ///
    /// # Errors
    /// None that are known.
    pub async fn examine_host(&self) -> Result<Vec<Finding>> {
        let root = self.shared.config.data_root.join("vm");
        blocking(move || Ok(doctor::examine(&root))).await
    }

    /// The kernel that guests boot.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there is none.
    pub async fn guest_kernel(&self) -> Result<Installed> {
        let root = self.shared.config.data_root.join("vm");
        blocking(move || Store::new(&root).current().map_err(refused)).await
    }

    /// Takes the kernel at `path`, or fetches one with the system's package manager.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a file that is no kernel, [`Error::Conflict`] with what the package manager said.
    pub async fn install_guest_kernel(&self, path: Option<PathBuf>, modules: Option<PathBuf>) -> Result<Installed> {
        let root = self.shared.config.data_root.join("vm");
        blocking(move || {
            let source = match path {
                Some(path) => Source::path(&path, modules.as_deref()),
                None => kernel::fetch(&root).map_err(refused)?,
            };
            Store::new(&root).install(&source).map_err(refused)
        })
        .await
    }
}

/// What a user is told of a failed act for machines.
fn refused(error: berth_vm::Error) -> Error {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    match error {
        berth_vm::Error::Malformed { .. } | berth_vm::Error::File { .. } => Error::Invalid(text),
        _ => Error::Conflict(text),
    }
}

/// The guest's memory in bytes: what the container may have, and what its kernel needs; at least the usual size, so that
/// one template serves them all.
fn memory(record: &Record) -> u64 {
    let limit = record.host.memory.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
    (limit + GUEST_BYTES).max(MEMORY_BYTES).next_multiple_of(1 << 20)
}

/// Changes go to a disk that stays with the container; one whose root is read-only makes none.
fn upper(record: &Record) -> Upper {
    if record.host.readonly_rootfs.unwrap_or(false) { Upper::None } else { Upper::Disk }
}

/// How much the container may change, in bytes.
fn disk_bytes(record: &Record) -> Result<u64> {
    let Some(bytes) = crate::rootfs::layer_bytes(record)? else { return Ok(DISK_BYTES) };
    if !(ext4::BYTES_MIN..=DISK_BYTES_MAX).contains(&bytes) {
        return Err(Error::Invalid(format!(
            "--storage-opt size: the disk of a virtual machine has {} MiB to {} TiB",
            ext4::BYTES_MIN >> 20,
            DISK_BYTES_MAX >> 40
        )));
    }
    Ok(bytes.next_multiple_of(1 << 20))
}

/// The disk for changes, made at the first start. There is one even where it is not used: all machines are alike.
fn disk(record: &Record, files: &Path) -> Result<Option<PathBuf>> {
    let path = files.join("upper.img");
    if !path.exists() {
        let now = u32::try_from(berth_kit::time::Timestamp::now().as_second()).unwrap_or(0);
        let mut uuid = [0; 16];
        for (slot, pair) in uuid.iter_mut().zip(record.id.as_bytes().chunks(2)) {
            *slot = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or(0);
        }
        ext4::make(&path, disk_bytes(record)?, uuid, now).map_err(refused)?;
    }
    Ok(Some(path))
}

fn vcpus(record: &Record) -> u32 {
    let host = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = record.host.nano_cpus.filter(|nano| *nano > 0).map_or(1, |nano| (nano as u64).div_ceil(1_000_000_000));
    u32::try_from(wanted).unwrap_or(1).clamp(1, u32::try_from(host).unwrap_or(1))
}

/// Limits of the monitor: the container's, with room for the machine itself.
fn limits(record: &Record, memory: u64) -> Result<LinuxResources> {
    let mut limits = oci_spec::resource::limits(&record.host);
    if let Some(limits) = limits.as_object_mut() {
        // The guest's own kernel keeps these; the monitor is many threads and one process.
        limits.remove("pids");
        if limits.remove("memory").is_some() {
            let bytes = i64::try_from(memory).unwrap_or(i64::MAX).saturating_add(MONITOR_BYTES);
            limits.insert("memory".to_owned(), serde_json::json!({"limit": bytes}));
        }
    }
    serde_json::from_value(limits)
        .map_err(|error| Error::Invalid(format!("these limits make no specification: {error}")))
}

fn sysctls(record: &Record) -> Vec<(String, String)> {
    let mut all = vec![
        ("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned()),
        ("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned()),
    ];
    let network = record.host.sysctls.iter().flatten().filter(|(key, _)| key.starts_with("net."));
    all.extend(network.map(|(key, value)| (key.clone(), value.clone())));
    all
}
