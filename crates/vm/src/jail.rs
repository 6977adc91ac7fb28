//! Where a monitor runs: a container of the engine's own, made by the runtime. A guest that breaks out of its monitor
//! finds itself there: other user ids, no capabilities, the system-call filter, its own network namespace, and of the
//! host's files only the system's programs, read-only, and what the guest has anyway.
//!
//! ```text
//! /usr /lib …            the host's, read only
//! /vm/kernel initramfs root.img          read only
//! /vm/upper.img          the guest's disk
//! /vm/run                sockets: agent.sock (the supervisor listens), share.sock; for templates qmp.sock, state.sock
//! /vm/berth              the engine's program, where it shares directories or is the monitor
//! /vm/vmm.json           what the engine's own monitor is to run
//! /share/<n>             what is shared with the guest
//! ```

mod old;

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use berth_runtime::{Bundle, Extension, IdRange};
use berth_snapshot::Rootfs;
use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde_json::{Value, json};

use crate::{Error, Result, plan::Plan, qemu::Machine};

/// In the jail: the kernel.
pub const KERNEL: &str = "/vm/kernel";
/// In the jail: the initramfs.
pub const INITRAMFS: &str = "/vm/initramfs";
/// In the jail: the image of the root file system.
pub const IMAGE: &str = "/vm/root.img";
/// In the jail: the disk for changes.
pub const UPPER: &str = "/vm/upper.img";
/// In the jail: the agent's socket.
pub const AGENT: &str = "/vm/run/agent.sock";
/// In the jail: the socket of the file server.
pub const SHARE_SOCKET: &str = "/vm/run/share.sock";
/// In the jail: QEMU's control socket.
pub const QMP: &str = "/vm/run/qmp.sock";
/// In the jail: where a machine that becomes a template writes its state.
pub const STATE_SOCKET: &str = "/vm/run/state.sock";
/// In the jail: the directory of what is shared.
const SHARE: &str = "/share";

/// In the jail: the engine's program.
pub const ENGINE: &str = "/vm/berth";
/// In the jail: the configuration of the engine's own monitor.
pub const CONFIG: &str = "/vm/vmm.json";

/// What the file server may do, inside its user namespace only: to act for the guest's users.
const SHARE_CAPABILITIES: &[&str] =
    &["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD", "CAP_SETFCAP"];

/// A directory or file of the host that the guest sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// On the host.
    pub source: PathBuf,
    /// Mount options, as in the container's specification.
    pub options: Vec<String>,
}

/// The directory for sockets below a bundle.
#[must_use]
pub fn run_dir(bundle: &Path) -> PathBuf {
    bundle.join("vm-run")
}

/// The bundle of the monitor's container.
///
/// # Errors
/// [`Error::File`]; [`Error::Malformed`] when the parts make no specification.
pub fn bundle(dir: &Path, plan: &Plan, machine: Machine, shares: &[Share], tsc_khz: u64) -> Result<Bundle> {
    let root = dir.join("jail");
    let run = run_dir(dir);
    for (directory, mode) in [(&root, 0o755), (&run, 0o700)] {
        fs::DirBuilder::new().recursive(true).mode(mode).create(directory).map_err(Error::file("make", directory))?;
    }
    for own in std::iter::once(&run).chain(&plan.disk) {
        old::give(own, plan.ids.0)?;
    }
    let command = crate::monitor::command(dir, plan, machine, !shares.is_empty(), tsc_khz)?;
    let mut mounts = system(&root)?;
    mounts.extend([
        bind("/vm/run", &run, "rw"),
        bind(KERNEL, &plan.boot.kernel, "ro"),
        bind(INITRAMFS, &plan.boot.initramfs, "ro"),
        bind(IMAGE, &plan.image, "ro"),
    ]);
    mounts.extend(plan.disk.as_ref().map(|disk| bind(UPPER, disk, "rw")));
    if !shares.is_empty() {
        mounts.push(bind(ENGINE, &plan.boot.agent, "ro"));
    }
    mounts.extend(command.files.iter().map(|(place, path)| bind(place, path, "ro")));
    for (index, share) in shares.iter().enumerate() {
        let mut options = share.options.clone();
        if !options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind")) {
            options.push("rbind".to_owned());
        }
        let source = share.source.to_string_lossy();
        mounts.push(
            json!({"destination": format!("{SHARE}/{index}"), "type": "bind", "source": source, "options": options}),
        );
    }
    for mount in &mounts {
        make_point(&root, mount)?;
    }
    // The filter is one for the jail; what it lets through, a monitor without capabilities is refused by the kernel.
    let filter: &[&str] = if shares.is_empty() { &[] } else { SHARE_CAPABILITIES };
    let place = Place { ids: plan.ids, cgroup: &plan.cgroup, resources: &plan.resources, host_network: false };
    old::ask_for_maps(&root, &mut mounts);
    let spec = specification(&place, &root, process(&command.arguments, &[]), &mounts, filter, &[])?;
    Ok(Bundle { dir: dir.to_owned(), spec, extension: extension(root, plan.ids) })
}

/// A monitor whose command line is somebody else's: a machine of its own.
#[derive(Debug)]
pub struct Confined<'a> {
    /// Program and arguments, whose paths are those of the jail.
    pub arguments: &'a [String],
    /// What it sees of the host's files: where, what, and whether it may write there.
    pub files: &'a [(String, PathBuf, bool)],
    /// Character devices beside the usual: path, major, minor.
    pub devices: &'a [(String, u32, u32)],
    /// Its user ids on the host: the first, and how many.
    pub ids: (u32, u32),
    /// Its control group.
    pub cgroup: &'a str,
    /// It stays in the network namespace of its maker.
    pub host_network: bool,
    /// How much memory it may lock, in bytes, beyond what everybody may.
    pub locked_bytes: Option<u64>,
}

/// The bundle of a monitor whose command line is somebody else's; its sockets are in [`run_dir`].
///
/// # Errors
/// [`Error::File`]; [`Error::Malformed`] when the parts make no specification.
pub fn confined(dir: &Path, wanted: &Confined<'_>) -> Result<Bundle> {
    let root = dir.join("jail");
    let run = run_dir(dir);
    for (directory, mode) in [(&root, 0o755), (&run, 0o700)] {
        fs::DirBuilder::new().recursive(true).mode(mode).create(directory).map_err(Error::file("make", directory))?;
    }
    old::give(&run, wanted.ids.0)?;
    let mut mounts = system(&root)?;
    mounts.push(bind("/vm/run", &run, "rw"));
    mounts.extend(
        wanted.files.iter().map(|(place, path, writable)| bind(place, path, if *writable { "rw" } else { "ro" })),
    );
    for mount in &mounts {
        make_point(&root, mount)?;
    }
    let mut process = process(wanted.arguments, &[]);
    if let Some(bytes) = wanted.locked_bytes {
        process["rlimits"] = json!([{"type": "RLIMIT_MEMLOCK", "soft": bytes, "hard": bytes}]);
    }
    let resources = LinuxResources::default();
    let place =
        Place { ids: wanted.ids, cgroup: wanted.cgroup, resources: &resources, host_network: wanted.host_network };
    old::ask_for_maps(&root, &mut mounts);
    let spec = specification(&place, &root, process, &mounts, &[], wanted.devices)?;
    Ok(Bundle { dir: dir.to_owned(), spec, extension: extension(root, wanted.ids) })
}

/// What the runtime is told beside the specification. The root is given as layers, so that root and binds are shown
/// through the jail's id map; where the root's file system has no such maps, binds ask for them one by one.
fn extension(root: PathBuf, (base, len): (u32, u32)) -> Extension {
    let rootfs = old::maps_ids(&root).then(|| Rootfs {
        lower: Vec::new(),
        upper: root.clone(),
        work: root,
        read_only: false,
        volatile: false,
    });
    Extension { rootfs, id_range: Some(IdRange { host_base: base, len }), ..Extension::default() }
}

/// What differs between jails beside their contents.
struct Place<'a> {
    ids: (u32, u32),
    cgroup: &'a str,
    resources: &'a LinuxResources,
    host_network: bool,
}

/// Makes the place of a mount, of the kind that is mounted: the jail's own root makes nothing in it.
fn make_point(root: &Path, mount: &Value) -> Result<()> {
    let text = |key: &str| mount[key].as_str().unwrap_or_default();
    let place = root.join(text("destination").trim_start_matches('/'));
    let parent = place.parent().unwrap_or(root);
    fs::create_dir_all(parent).map_err(Error::file("make", parent))?;
    if text("type") == "bind" && !Path::new(text("source")).is_dir() {
        return fs::write(&place, "").map_err(Error::file("make", &place));
    }
    fs::create_dir_all(&place).map_err(Error::file("make", &place))
}

/// The file server, as a process of the jail.
///
/// # Errors
/// [`Error::Malformed`], which would be a defect here.
pub fn share_process() -> Result<Process> {
    let arguments = [ENGINE, "share", SHARE_SOCKET, SHARE].map(str::to_owned);
    serde_json::from_value(process(&arguments, SHARE_CAPABILITIES))
        .map_err(|error| Error::malformed("the process that shares directories", error.to_string()))
}

fn specification(
    place: &Place<'_>,
    root: &Path,
    process: Value,
    mounts: &[Value],
    filter: &[&str],
    more: &[(String, u32, u32)],
) -> Result<Spec> {
    let (base, len) = place.ids;
    let mapping = json!([{"containerID": 0, "hostID": base, "size": len}]);
    let namespaces: Vec<Value> = ["mount", "user", "network", "pid", "ipc", "uts", "cgroup"]
        .into_iter()
        .filter(|kind| *kind != "network" || !place.host_network)
        .map(|kind| json!({"type": kind}))
        .collect();
    let mut resources = serde_json::to_value(place.resources).unwrap_or_default();
    resources["devices"] = device_rules(more);
    let spec = json!({
        "ociVersion": "1.2.0",
        "hostname": "berth-vm",
        "root": {"path": root, "readonly": true},
        "process": process,
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces,
            "uidMappings": mapping,
            "gidMappings": mapping,
            "cgroupsPath": place.cgroup,
            "resources": resources,
            "devices": devices(more),
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sysrq-trigger"],
            "readonlyPaths": ["/proc/sys"],
        },
    });
    let mut spec: Spec =
        serde_json::from_value(spec).map_err(|error| Error::malformed("the monitor's jail", error.to_string()))?;
    let filter: Vec<String> = filter.iter().map(|name| (*name).to_owned()).collect();
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(berth_runtime::seccomp::profile::Profile::builtin().resolve(&filter));
    }
    Ok(spec)
}

fn process(arguments: &[String], capabilities: &[&str]) -> Value {
    json!({
        "terminal": false,
        "user": {"uid": 0, "gid": 0},
        "args": arguments,
        "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        "cwd": "/",
        "capabilities": {
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities, "inheritable": [], "ambient": [],
        },
        "noNewPrivileges": true,
    })
}

/// The host's programs and libraries, and what every process needs.
fn system(root: &Path) -> Result<Vec<Value>> {
    let mut mounts = vec![
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]}),
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "size=16m"]}),
        json!({"destination": "/var/run", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec", "size=1m"]}),
        bind("/usr", Path::new("/usr"), "ro"),
    ];
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let (path, place) = (Path::new("/").join(name), root.join(name));
        match fs::read_link(&path) {
            Ok(target) => match std::os::unix::fs::symlink(&target, &place) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::file("make", &place)(error));
                }
                _ => {}
            },
            Err(_) if path.is_dir() => mounts.push(bind(&path.display().to_string(), &path, "ro")),
            Err(_) => {}
        }
    }
    for file in ["/etc/ld.so.cache", "/etc/ld.so.conf"] {
        if Path::new(file).exists() {
            mounts.push(bind(file, Path::new(file), "ro"));
        }
    }
    Ok(mounts)
}

fn bind(destination: &str, source: &Path, access: &str) -> Value {
    json!({
        "destination": destination,
        "type": "bind",
        "source": source,
        "options": ["bind", "rprivate", "nosuid", "nodev", access],
    })
}

/// Beside those that every container has.
const DEVICES: &[(&str, u32, u32)] = &[("/dev/kvm", 10, 232), ("/dev/net/tun", 10, 200), ("/dev/vhost-net", 10, 238)];

fn devices(more: &[(String, u32, u32)]) -> Value {
    let usual = DEVICES.iter().copied().filter(|(path, _, _)| Path::new(path).exists());
    usual
        .chain(more.iter().map(|(path, major, minor)| (path.as_str(), *major, *minor)))
        .map(|(path, major, minor)| {
            json!({"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 0o666, "uid": 0, "gid": 0})
        })
        .collect()
}

fn device_rules(more: &[(String, u32, u32)]) -> Value {
    let mut rules = vec![json!({"allow": false, "access": "rwm"})];
    let standard = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)];
    let own = DEVICES.iter().map(|(_, major, minor)| (*major, *minor));
    let own = own.chain(more.iter().map(|(_, major, minor)| (*major, *minor)));
    for (major, minor) in standard.into_iter().chain(own) {
        rules.push(json!({"allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm"}));
    }
    Value::Array(rules)
}
