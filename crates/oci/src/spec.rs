//! `spec`: a `config.json` to begin with.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::grammar::{Call, Command, switch, value};

/// See the module.
pub static COMMAND: Command = Command {
    name: "spec",
    arguments: "",
    about: "write a config.json to begin with",
    flags: &[
        value("bundle", "b", "directory to write it to (default: the working directory)"),
        switch("rootless", "", "for a user who is not root"),
    ],
    arity: (0, 0),
    run: write,
};

fn write(call: &Call) -> Result<u8> {
    let path = PathBuf::from(call.text("bundle").unwrap_or(".")).join("config.json");
    if path.exists() {
        return Err(Error::Usage(format!("File {} exists. Remove it first", path.display())));
    }
    let spec = specification(call.has("rootless"));
    std::fs::write(&path, format!("{spec:#}\n")).map_err(Error::file("write", &path))?;
    Ok(0)
}

fn specification(rootless: bool) -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mut kinds = vec!["pid", "network", "ipc", "uts", "mount", "cgroup"];
    if rootless {
        kinds.retain(|kind| *kind != "network");
        kinds.push("user");
    }
    let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind})).collect();
    let mut linux = json!({
        "resources": {"devices": [{"allow": false, "access": "rwm"}]},
        "namespaces": namespaces,
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
            "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if rootless {
        let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
        linux["uidMappings"] = map(rustix::process::geteuid().as_raw());
        linux["gidMappings"] = map(rustix::process::getegid().as_raw());
        linux["resources"] = Value::Null;
    }
    json!({
        "ociVersion": crate::SPEC_VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "berth",
        "mounts": mounts(rootless),
        "linux": linux,
    })
}

fn mounts(rootless: bool) -> Value {
    let plain = ["nosuid", "noexec", "nodev"];
    let sys = if rootless {
        json!({"destination": "/sys", "type": "none", "source": "/sys",
               "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]})
    } else {
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
               "options": ["nosuid", "noexec", "nodev", "ro"]})
    };
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": if rootless { json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]) }
                    else { json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]) }},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": plain},
        sys,
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
    ])
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_a_specification() {
        for rootless in [false, true] {
            let spec = super::specification(rootless);
            let read: oci_spec::runtime::Spec = serde_json::from_value(spec).expect("a specification");
            assert_eq!(read.linux().as_ref().and_then(|linux| linux.uid_mappings().as_ref()).is_some(), rootless);
        }
    }
}
