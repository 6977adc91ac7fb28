//! A bundle around BusyBox, and calls of the runtime on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{busybox, command, engine, eventually};

/// A bundle and a `--root` of its own, with at most one container in each; what a test forgets is deleted.
#[derive(Debug)]
pub struct Bundle {
    place: tempfile::TempDir,
    program: Program,
    /// What goes to `config.json` with the next [`Bundle::create`] or [`Bundle::run`].
    pub spec: Value,
}

/// A runtime: its command line, and what its environment has beyond the tests' own.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program and its first arguments.
    pub line: Vec<PathBuf>,
    /// Names and values.
    pub environment: Vec<(String, String)>,
}

impl Program {
    /// berth's, or the one of `BERTH_TEST_RUNTIME` (such as `runc`, as judge of the expectations).
    pub fn of_tests() -> Self {
        let line = match std::env::var_os("BERTH_TEST_RUNTIME") {
            Some(other) => vec![other.into()],
            None => vec![engine::binary(), "runtime".into()],
        };
        Self { line, environment: Vec::new() }
    }
}

impl Bundle {
    /// A container that runs this script.
    pub fn new(script: &str) -> Self {
        Self::of(Program::of_tests(), script)
    }

    /// As [`Bundle::new`], for another runtime.
    pub fn of(program: Program, script: &str) -> Self {
        let place = tempfile::Builder::new().prefix("berth-test-").tempdir().expect("a folder");
        let rootfs = busybox::rootfs().unwrap_or_else(|why| panic!("the tests need busybox-static: {why}"));
        tar::Archive::new(rootfs.as_slice()).unpack(place.path().join("rootfs")).expect("the root file system");
        let mut bundle = Self { place, program, spec: Value::Null };
        bundle.call(&["spec", "--bundle", &bundle.path("").display().to_string()]).ok();
        let text = std::fs::read(bundle.path("config.json")).expect("config.json");
        let mut spec: Value = serde_json::from_slice(&text).expect("JSON");
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["/bin/sh", "-c", script]);
        spec["root"]["readonly"] = json!(false);
        spec["process"]["env"] = json!(["PATH=/bin"]);
        spec["linux"]["cgroupsPath"] = json!(format!("/{}", bundle.id()));
        bundle.spec = spec;
        bundle
    }

    /// The container's id, like no other.
    pub fn id(&self) -> String {
        self.place.path().file_name().expect("a name").to_string_lossy().replace("berth-test-.", "berth-test-")
    }

    /// A file beside the bundle's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// A file of the container.
    pub fn inside(&self, name: &str) -> PathBuf {
        self.path("rootfs").join(name)
    }

    /// Any call, ready to be made.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program.line[0]);
        command.args(&self.program.line[1..]);
        command.envs(self.program.environment.iter().map(|(name, value)| (name, value)));
        command.arg("--root").arg(self.path("state")).args(arguments);
        command
    }

    /// Any call, waited for.
    pub fn call(&self, arguments: &[&str]) -> command::Output {
        command::run(self.command(arguments), b"")
    }

    /// `create`, with the container's output in a file; what the call itself said.
    pub fn create(&self, flags: &[&str]) -> (bool, String) {
        self.store();
        let output = std::fs::File::create(self.path("output")).expect("a file");
        let log = self.path("log").display().to_string();
        let bundle = self.path("").display().to_string();
        let mut command = self.command(&["--log", &log, "--log-format", "json", "create", "--bundle", &bundle]);
        command.args(flags).arg(self.id());
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a file")).stderr(output);
        let status = command.status().expect("it runs");
        (status.success(), std::fs::read_to_string(self.path("log")).unwrap_or_default())
    }

    /// Writes `config.json`.
    pub fn store(&self) {
        std::fs::write(self.path("config.json"), self.spec.to_string()).expect("config.json");
    }

    /// `run` to the container's end.
    pub fn run(&self) -> command::Output {
        self.store();
        self.call(&["run", "--bundle", &self.path("").display().to_string(), &self.id()])
    }

    /// What the container said so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.path("output")).unwrap_or_default()
    }

    /// What the runtime says about the container.
    pub fn state(&self) -> Value {
        serde_json::from_str(&self.call(&["state", &self.id()]).ok()).expect("JSON")
    }

    /// `created`, `running`, `stopped`, ...
    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a status").to_owned()
    }

    /// Waits for a status, at most 10 s.
    pub fn await_status(&self, wanted: &str) {
        eventually(&format!("status {wanted}"), 10, || (self.status() == wanted).then_some(()));
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.call(&["delete", "--force", &self.id()]);
        if std::thread::panicking() {
            return;
        }
        assert!(groups(&self.id()).is_empty(), "control groups stay: {:?}", groups(&self.id()));
        let left = std::fs::read_dir(self.path("state")).map_or(0, |entries| entries.count());
        assert_eq!(left, 0, "something stays in the runtime's root");
    }
}

/// Directories of a container's control groups.
fn groups(id: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    hierarchies.chain([top.to_owned()]).map(|root| root.join(id)).filter(|path| path.exists()).collect()
}
