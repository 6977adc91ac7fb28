//! A tiny image with busybox, a bundle around it, and a container that is run to its end.

use std::fs;
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use berth_runtime::{Bundle, Container, Created, Extension, IdRange, Stdio, create};
use berth_snapshot::{Snapshotter, contract::chain_id, overlay::Overlay};
use berth_sys::pidfd::Ended;
use serde_json::{Value, json};

/// The host's id of every test container's root.
pub const BASE: u32 = 2_000_000;

const BUSYBOX: &str = "/bin/busybox";

/// Why containers cannot be made here, if they cannot.
pub fn usable() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err(String::from("not root"));
    }
    if !Path::new(BUSYBOX).exists() {
        return Err(format!("{BUSYBOX} is missing: install busybox-static"));
    }
    Ok(())
}

/// Removes the parent of all tests' control groups from every hierarchy.
pub fn remove_cgroup_parent() {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    for hierarchy in hierarchies.map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]) {
        // Where no test made one, there is none.
        let _ = fs::remove_dir(hierarchy.join("berth-test"));
    }
}

/// A store with one layer and one snapshot, and the bundle that uses it.
pub struct Sandbox {
    pub bundle: Bundle,
    pub layer: PathBuf,
    store: Overlay,
    scratch: tempfile::TempDir,
}

/// What a container said and how it ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub output: String,
}

impl Sandbox {
    /// A container that runs `sh -c script` with Docker's usual isolation.
    pub fn new(script: &str) -> Self {
        Self::with_arguments(&["/bin/sh", "-c", script])
    }

    pub fn with_arguments(arguments: &[&str]) -> Self {
        let scratch = tempfile::tempdir().expect("tempdir");
        let store = Overlay::open(&scratch.path().join("store")).expect("store");
        let draft = store.draft_layer(&chain_id(1), None).expect("draft");
        fill(&draft.dir);
        store.commit_layer(draft, 0).expect("commit");
        store.create("c", Some(&chain_id(1))).expect("snapshot");
        let rootfs = store.rootfs("c").expect("rootfs");
        let layer = rootfs.lower[0].clone();
        let extension = Extension {
            rootfs: Some(rootfs),
            id_range: Some(IdRange { host_base: BASE, len: 65_536 }),
            ..Extension::default()
        };
        let spec = serde_json::from_value(specification(arguments)).expect("specification");
        let dir = scratch.path().join("bundle");
        fs::create_dir(&dir).expect("mkdir");
        Self { bundle: Bundle { dir, spec, extension }, layer, store, scratch }
    }

    /// Changes the specification as JSON: `change` gets the whole of it.
    pub fn change(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut spec = serde_json::to_value(&self.bundle.spec).expect("to JSON");
        change(&mut spec);
        self.bundle.spec = serde_json::from_value(spec).expect("from JSON");
        self
    }

    /// Takes namespaces off the list: the host's are used.
    pub fn without(self, kinds: &[&str]) -> Self {
        self.change(|spec| {
            let list = spec["linux"]["namespaces"].as_array_mut().expect("namespaces");
            list.retain(|namespace| !kinds.iter().any(|kind| namespace["type"] == *kind));
        })
    }

    pub fn with_mount(self, mount: Value) -> Self {
        self.change(|spec| spec["mounts"].as_array_mut().expect("mounts").push(mount))
    }

    /// A directory of the host for this test.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Where the container's changes lie.
    pub fn upper(&self) -> PathBuf {
        self.store.rootfs("c").expect("rootfs").upper
    }

    /// Makes the container and lets it go; its output comes from the pipe.
    pub fn start(&self) -> berth_runtime::Result<(Created, PipeReader)> {
        let (reader, writer) = std::io::pipe().expect("pipe");
        let null = fs::File::open("/dev/null").expect("/dev/null");
        let stdio = Stdio::Streams { stdin: null.as_fd(), stdout: writer.as_fd(), stderr: writer.as_fd() };
        let created = create(&self.bundle, stdio)?;
        if let Err(error) = created.release() {
            finish(&created.container);
            return Err(error);
        }
        Ok((created, reader))
    }

    /// Runs the container to its end.
    pub fn run(&self) -> berth_runtime::Result<Outcome> {
        let (created, mut reader) = self.start()?;
        let mut output = String::new();
        reader.read_to_string(&mut output).expect("output");
        let code = finish(&created.container);
        Ok(Outcome { code, output: output.trim_end().to_owned() })
    }

    /// Runs it, expecting success.
    pub fn output(&self) -> String {
        let outcome = self.run().unwrap_or_else(|error| panic!("{error} {:?}", std::error::Error::source(&error)));
        assert_eq!(outcome.code, 0, "{}", outcome.output);
        outcome.output
    }
}

/// Waits for a container's end, and removes its control groups.
pub fn finish(container: &Container) -> i32 {
    let code = wait(&container.pidfd);
    if let Some(cgroup) = &container.cgroup {
        cgroup.remove().expect("remove the cgroup");
    }
    code
}

pub fn wait(pidfd: &OwnedFd) -> i32 {
    match berth_sys::pidfd::wait(pidfd.as_fd()).expect("wait") {
        Ended::Code(code) => code,
        Ended::Signal(signal) => 128 + signal,
    }
}

pub fn kill(container: &Container) {
    berth_sys::pidfd::send_signal(container.pidfd.as_fd(), 9).expect("kill");
    finish(container);
}

fn fill(root: &Path) {
    for name in ["bin", "etc", "tmp", "root", "home/user"] {
        fs::create_dir_all(root.join(name)).expect("mkdir");
    }
    fs::copy(BUSYBOX, root.join("bin/busybox")).expect("busybox");
    let applets = [
        "sh", "cat", "id", "ls", "stat", "true", "false", "sleep", "echo", "mount", "readlink", "hostname", "pwd",
        "env", "touch", "tty", "stty", "grep", "kill", "ps", "umask", "test", "head", "mkdir", "ip", "mknod", "chown",
        "rm", "wc", "basename", "dd", "setsid",
    ];
    for name in applets {
        symlink("busybox", root.join("bin").join(name)).expect("link");
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
        .expect("passwd");
    fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\naudio:x:29:user\n").expect("group");
    std::os::unix::fs::chown(root.join("home/user"), Some(1000), Some(1000)).expect("chown");
}

fn specification(arguments: &[&str]) -> Value {
    let kinds = ["mount", "pid", "ipc", "uts", "network", "user", "cgroup"];
    let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    let capabilities =
        ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_FOWNER"];
    json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs" },
        "hostname": "box",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": arguments,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
        },
        "mounts": mounts(),
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/scsi", "/nowhere"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn mounts() -> Value {
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
          "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
          "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
        { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
          "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
    ])
}
