//! `features`: what this runtime can do, for engines that ask before they use it.

use berth_runtime::{capability, label};
use serde_json::json;

use crate::grammar::Command;

/// See the module.
pub static COMMAND: Command = Command {
    name: "features",
    arguments: "",
    about: "print what this runtime can do",
    flags: &[],
    arity: (0, 0),
    run: |_| {
        println!("{:#}", features());
        Ok(0)
    },
};

const HOOKS: &[&str] = &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

const MOUNT_OPTIONS: &[&str] = &[
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "unbindable",
];

const ARCHITECTURES: &[&str] =
    &["SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"];

const ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const OPERATORS: &[&str] =
    &["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"];

const FLAGS: &[&str] = &[
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

const MEMORY_MODES: &[&str] = &[
    "MPOL_DEFAULT",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

fn features() -> serde_json::Value {
    let here = std::path::Path::new("/proc/self/ns");
    let kinds = [
        ("cgroup", "cgroup"),
        ("ipc", "ipc"),
        ("mount", "mnt"),
        ("network", "net"),
        ("pid", "pid"),
        ("time", "time"),
        ("user", "user"),
        ("uts", "uts"),
    ];
    let namespaces: Vec<&str> =
        kinds.iter().filter(|(_, file)| here.join(file).exists()).map(|(kind, _)| *kind).collect();
    let controllers = std::fs::read_to_string("/proc/cgroups").unwrap_or_default();
    let has = |name: &str| controllers.lines().any(|line| line.starts_with(name));
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": crate::SPEC_VERSION,
        "hooks": HOOKS,
        "mountOptions": MOUNT_OPTIONS,
        "linux": {
            "namespaces": namespaces,
            "capabilities": capability::NAMES.as_slice(),
            "cgroup": {
                "v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": has("rdma"),
            },
            "seccomp": {
                "enabled": true, "actions": ACTIONS, "operators": OPERATORS, "archs": ARCHITECTURES,
                "knownFlags": FLAGS, "supportedFlags": FLAGS,
            },
            "apparmor": {"enabled": label::has_apparmor()},
            "selinux": {"enabled": label::has_selinux()},
            "intelRdt": {"enabled": false, "schemata": false, "monitoring": false},
            "memoryPolicy": {
                "modes": MEMORY_MODES,
                "flags": ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
            },
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": true},
        },
        "annotations": {"io.berth.version": env!("CARGO_PKG_VERSION")},
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn engines_can_read_it() {
        let text = super::features().to_string();
        let read: oci_spec::runtime::Features = serde_json::from_str(&text).expect("the specification's shape");
        assert_eq!(read.oci_version_min(), "1.0.0");
        assert!(read.linux().as_ref().is_some_and(|linux| linux.namespaces().is_some()));
    }
}
