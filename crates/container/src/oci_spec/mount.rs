//! The mount list: kernel file systems first, then the container's files, then what the user asked for.

use serde_json::{Value, json};

use super::{Input, Joined};
use crate::record::{Mount, MountKind, Record};

/// The `mounts` list, parents before children.
pub fn list(input: &Input) -> Vec<Value> {
    let host = &input.record.host;
    let shm_bytes = host.shm_size.filter(|bytes| *bytes > 0).map_or(input.config.shm_bytes, i64::unsigned_abs);
    let privileged = host.privileged.unwrap_or(false);
    let access = if privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        entry("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        entry("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        entry(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        entry("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access]),
        entry("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", access]),
    ];
    if input.namespaces.pid == Joined::Host {
        mounts[0] = entry("/proc", "bind", "/proc", &["rbind", "nosuid", "noexec", "nodev"]);
    }
    ipc(input, shm_bytes, &mut mounts);
    for name in ["resolv.conf", "hostname", "hosts"] {
        let destination = format!("/etc/{name}");
        if !input.record.mounts.iter().any(|mount| mount.destination == destination) {
            let source = input.files.join(name);
            let access = if host.readonly_rootfs.unwrap_or(false) { "ro" } else { "rw" };
            mounts.push(entry(&destination, "bind", &source.to_string_lossy(), &["bind", "rprivate", access]));
        }
    }
    mounts.retain(|built| {
        let replaced = |mount: &Mount| built["destination"] == mount.destination.as_str();
        !input.record.mounts.iter().any(replaced)
    });
    mounts.extend(
        input.record.mounts.iter().zip(input.sources).map(|(mount, source)| own(mount, &source.to_string_lossy())),
    );
    // A volume at /dev or /etc must not hide what the engine puts below; otherwise the order stays.
    let depth = |mount: &Value| mount["destination"].as_str().map_or(0, |path| path.matches('/').count());
    mounts.sort_by_key(depth);
    mounts
}

fn ipc(input: &Input, shm_bytes: u64, mounts: &mut Vec<Value>) {
    if input.record.host.ipc_mode.as_deref() == Some("none") {
        return;
    }
    match &input.namespaces.ipc {
        Joined::New => {
            let size = format!("size={shm_bytes}");
            mounts.push(entry("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &size]));
            mounts.push(entry("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
        }
        Joined::Host => {
            mounts.push(entry("/dev/shm", "bind", "/dev/shm", &["rbind"]));
            mounts.push(entry("/dev/mqueue", "bind", "/dev/mqueue", &["rbind"]));
        }
        Joined::Of(pid) => {
            mounts.push(entry("/dev/shm", "bind", &format!("/proc/{pid}/root/dev/shm"), &["rbind"]));
            mounts.push(entry("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
        }
    }
    if input.namespaces.ipc == Joined::Host && !std::path::Path::new("/dev/mqueue").exists() {
        mounts.retain(|mount| mount["destination"] != "/dev/mqueue");
    }
}

fn own(mount: &Mount, source: &str) -> Value {
    let access = if mount.writable { "rw" } else { "ro" };
    if mount.kind == MountKind::Tmpfs {
        let mut options = vec!["nosuid", "nodev", "noexec", access];
        for option in &mount.tmpfs_options {
            match option.as_str() {
                "exec" | "suid" | "dev" => options.retain(|taken| taken.strip_prefix("no") != Some(option)),
                other => options.push(other),
            }
        }
        return entry(&mount.destination, "tmpfs", "tmpfs", &options);
    }
    let recursion = if mount.non_recursive { "bind" } else { "rbind" };
    let propagation = if mount.propagation.is_empty() { "rprivate" } else { &mount.propagation };
    // A read-only bind is read-only all the way down, as Docker 25 and later make it.
    let access = if mount.writable {
        "rw"
    } else if mount.non_recursive || mount.read_only_top {
        "ro"
    } else {
        "rro"
    };
    entry(&mount.destination, "bind", source, &[recursion, propagation, access])
}

fn entry(destination: &str, typ: &str, source: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": typ, "source": source, "options": options})
}

/// How mounts of the host reach the container's root: as the most open of its bind mounts.
pub fn propagation(record: &Record) -> &'static str {
    let any = |words: [&str; 2]| record.mounts.iter().any(|mount| words.contains(&mount.propagation.as_str()));
    if any(["shared", "rshared"]) {
        "shared"
    } else if any(["slave", "rslave"]) {
        "rslave"
    } else {
        "rprivate"
    }
}
