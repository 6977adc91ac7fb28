//! An engine under test: a daemon in mount and network namespaces of its own, with its own roots, socket and cgroups.
//!
//! ```text
//! /tmp/berth-test-XXXX/        the engine's place
//!   data/ run/                 data root, runtime root
//!   engine.sock  pid  log      socket, pid file, what the daemon said
//!   config/                    the clients' configuration folder, empty
//! ```
//!
//! A holder process keeps the namespaces open, so that the daemon may be killed and started again inside of them.
//! When an [`Engine`] is dropped, its containers are removed, what is left is compared with what there was after the
//! start, and the test fails when anything is.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::command::{self, Output};
use crate::leftover::Traces;
use crate::{Http, busybox, eventually};

/// Which engine answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Berth,
    /// Debian's dockerd: the judge of the expectations.
    Docker,
    /// One that runs already, at the socket that `BERTH_TEST_ENGINE` names; what is left is then not looked at.
    Existing,
}

/// A running engine; see the module's documentation.
#[derive(Debug)]
pub struct Engine {
    kind: Kind,
    binary: PathBuf,
    place: TempDir,
    socket: PathBuf,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    holder: Option<Child>,
    daemon: Option<Child>,
    cgroup: String,
    traces: Traces,
}

impl Engine {
    /// Starts the engine that `BERTH_TEST_ENGINE` names (berth when unset) with the image `busybox` in it.
    pub fn start() -> Engine {
        Engine::start_with(&[])
    }

    /// As [`Engine::start`], with more flags for the daemon.
    pub fn start_with(flags: &[&str]) -> Engine {
        let mut engine = Engine::start_empty(flags);
        engine.import_busybox();
        if crate::machine::are_wanted() {
            engine.install_kernel();
        }
        engine
    }

    /// Starts an engine without any image.
    pub fn start_empty(flags: &[&str]) -> Engine {
        let wanted = std::env::var("BERTH_TEST_ENGINE").unwrap_or_default();
        match wanted.as_str() {
            "" | "berth" => Engine::launch(Kind::Berth, binary(), flags),
            "dockerd" => Engine::launch(Kind::Docker, "dockerd".into(), flags),
            socket => Engine::existing(Path::new(socket.trim_start_matches("unix://"))),
        }
    }

    /// Starts a daemon of the given kind from the given program.
    pub fn launch(kind: Kind, binary: PathBuf, flags: &[&str]) -> Engine {
        Engine::launch_in(kind, binary, flags, &[])
    }

    /// As [`Engine::launch`], with variables in the environment of each of its daemons.
    pub fn launch_in(kind: Kind, binary: PathBuf, flags: &[&str], environment: &[(&str, &str)]) -> Engine {
        let place = place();
        let socket = place.path().join("engine.sock");
        let mut engine = Engine::at(kind, binary, place, socket);
        engine.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        engine.environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        engine.holder = Some(hold_namespaces());
        engine.start_daemon();
        engine.traces = engine.look();
        engine
    }

    /// An engine that runs already; nothing of it is started, stopped or checked.
    fn existing(socket: &Path) -> Engine {
        Engine::at(Kind::Existing, PathBuf::new(), place(), socket.to_path_buf())
    }

    fn at(kind: Kind, binary: PathBuf, place: TempDir, socket: PathBuf) -> Engine {
        let cgroup = place.path().file_name().expect("a name").to_string_lossy().into_owned();
        std::fs::create_dir(place.path().join("config")).expect("a folder for the clients");
        let (flags, environment, traces) = (Vec::new(), Vec::new(), Traces::default());
        Engine { kind, binary, place, socket, flags, environment, holder: None, daemon: None, cgroup, traces }
    }

    /// Makes the image `busybox`; what it adds counts as there from the start.
    pub fn import_busybox(&mut self) {
        let rootfs = busybox::rootfs().unwrap_or_else(|why| panic!("the tests need busybox-static: {why}"));
        self.import("busybox:latest", &rootfs, &["CMD [\"sh\"]", "ENV PATH=/bin"]);
        if self.kind != Kind::Existing {
            self.traces = self.look();
        }
    }

    /// Takes what is there now, images of the test's own for instance, as there from the start.
    pub fn forget_traces(&mut self) {
        self.traces = self.look();
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the judge answers: for the few expectations in which 20.10 is older than what berth follows.
    pub fn is_docker(&self) -> bool {
        self.kind == Kind::Docker
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The folder that everything of this engine lies in.
    pub fn place(&self) -> &Path {
        self.place.path()
    }

    /// The cgroup, relative to a hierarchy's root, below which the containers' cgroups are.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// What the daemon has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.place().join("log")).unwrap_or_default()
    }

    /// A client of raw HTTP.
    pub fn http(&self) -> Http {
        Http::new(&self.socket)
    }

    /// The program that the next start of the daemon runs: another build.
    pub fn change_binary(&mut self, binary: &Path) {
        self.binary = binary.to_path_buf();
    }

    /// Starts the daemon where none runs, and waits until it answers.
    pub fn start_daemon(&mut self) {
        assert!(self.start_daemon_with(&[]), "the daemon ended:\n{}", self.log());
    }

    /// As [`Engine::start_daemon`], with variables in its environment; whether it answers, and did not end before.
    pub fn start_daemon_with(&mut self, environment: &[(&str, &str)]) -> bool {
        assert!(self.daemon.is_none(), "the daemon runs");
        let mut command = self.enter(&["mount", "net"]);
        match self.kind {
            Kind::Docker => command.arg(&self.binary).args(["--log-level", "fatal"]),
            _ => command.arg(&self.binary).arg("daemon"),
        };
        let at = |name: &str| self.place().join(name);
        let log = File::options().create(true).append(true).open(at("log")).expect("a log file");
        command
            .arg("-H")
            .arg(format!("unix://{}", self.socket.display()))
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("run"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("--cgroup-parent")
            .arg(format!("/{}", self.cgroup))
            .args(&self.flags)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log);
        self.daemon = Some(command.spawn().expect("nsenter starts"));
        self.answers()
    }

    fn answers(&mut self) -> bool {
        let http = self.http();
        let daemon = self.daemon.as_mut().expect("started");
        eventually("the daemon answers", 60, || {
            if daemon.try_wait().expect("waiting for the daemon").is_some() {
                return Some(false);
            }
            http.try_request("GET", "/_ping", &[], b"").ok().filter(|answer| answer.status == 200).map(|_| true)
        })
    }

    /// SIGKILL, at once; containers are left to themselves.
    pub fn kill_daemon(&mut self) {
        let mut daemon = self.daemon.take().expect("the daemon runs");
        daemon.kill().expect("SIGKILL");
        daemon.wait().expect("its end");
    }

    /// Whether the daemon still runs, given a moment to end.
    pub fn is_alive(&mut self) -> bool {
        std::thread::sleep(Duration::from_millis(20));
        self.daemon.as_mut().is_some_and(|daemon| daemon.try_wait().is_ok_and(|status| status.is_none()))
    }

    /// Takes note that the daemon has ended by itself.
    pub fn bury_daemon(&mut self) {
        let mut daemon = self.daemon.take().expect("a daemon was started");
        daemon.wait().expect("its end");
    }

    /// SIGTERM, and its end.
    pub fn stop_daemon(&mut self) -> i32 {
        let mut daemon = self.daemon.take().expect("the daemon runs");
        signal(daemon.id(), "TERM");
        let status = eventually("the daemon ends", 30, || daemon.try_wait().expect("waiting for the daemon"));
        status.code().unwrap_or(-1)
    }

    /// The daemon's process id.
    pub fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().expect("the daemon runs").id()
    }

    /// `docker ARGS` (or `berth ARGS` with `BERTH_TEST_CLIENT=berth`) against this engine.
    pub fn cli<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        self.cli_with(arguments, b"")
    }

    /// As [`Engine::cli`], with standard input.
    pub fn cli_with<S: AsRef<OsStr>>(&self, arguments: &[S], input: &[u8]) -> Output {
        let wants_berth = std::env::var("BERTH_TEST_CLIENT").is_ok_and(|client| client == "berth");
        let program = if wants_berth || !command::is_installed("docker") { binary() } else { "docker".into() };
        command::run(self.client(&program, arguments), input)
    }

    /// `berth ARGS` against this engine.
    pub fn berth<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        command::run(self.client(&binary(), arguments), b"")
    }

    /// A client program's command line, aimed at this engine, with an empty configuration.
    pub fn client<S: AsRef<OsStr>>(&self, program: &Path, arguments: &[S]) -> Command {
        let mut command = Command::new(program);
        command
            .arg("-H")
            .arg(format!("unix://{}", self.socket.display()))
            .args(crate::machine::as_machine(arguments))
            .env_remove("DOCKER_HOST")
            .env("DOCKER_CONFIG", self.place().join("config"))
            .env("HOME", self.place());
        command
    }

    /// Runs a program in the engine's network namespace: what a user of the host would see.
    pub fn host(&self, arguments: &[&str]) -> Output {
        let mut command = self.enter(&["net"]);
        command.args(arguments);
        command::run(command, b"")
    }

    /// Runs a program in the engine's mount and network namespaces: what its daemon would see, and an administrator do.
    pub fn within(&self, arguments: &[&str]) -> Output {
        let mut command = self.enter(&["mount", "net"]);
        command.args(arguments);
        command::run(command, b"")
    }

    /// A program in the engine's mount and network namespaces, ready for its arguments.
    pub fn beside_the_daemon(&self, program: &str) -> Command {
        let mut command = self.enter(&["mount", "net"]);
        command.arg(program);
        command
    }

    /// Other flags for the next start of the daemon.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    /// A program in the engine's network namespace, ready for its arguments: for servers that engine speaks to.
    pub fn neighbour(&self, program: &str) -> Command {
        let mut command = self.enter(&["net"]);
        command.arg(program);
        command
    }

    /// `nsenter` into the engine's namespaces, ready for a program and its arguments.
    fn enter(&self, namespaces: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        if let Some(holder) = &self.holder {
            command.arg("--target").arg(holder.id().to_string());
            command.args(namespaces.iter().map(|namespace| format!("--{namespace}")));
        }
        command.arg("--").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", self.place());
        command
    }

    /// What the engine has left on the machine so far.
    pub fn look(&self) -> Traces {
        let holder = self.holder.as_ref().map_or(0, Child::id);
        Traces::look(self.place(), &self.cgroup, holder)
    }

    /// Runs while a failed test ends, so it must not panic itself.
    fn remove_containers(&self) {
        let http = self.http();
        let Ok(list) = http.try_request("GET", "/containers/json?all=1", &[], b"") else { return };
        for container in list.json().as_array().into_iter().flatten() {
            let id = container["Id"].as_str().unwrap_or_default();
            http.try_request("DELETE", &format!("/containers/{id}?force=1&v=1"), &[], b"").ok();
        }
    }

    /// Machines of their own belong to no container; dockerd has none.
    fn remove_machines(&self) {
        let http = self.http();
        let Ok(list) = http.try_request("GET", "/vm/machines", &[], b"") else { return };
        for machine in list.json().as_array().into_iter().flatten() {
            let name = machine["Name"].as_str().unwrap_or_default();
            http.try_request("DELETE", &format!("/vm/machines/{name}?force=1"), &[], b"").ok();
        }
    }

    /// Removes the containers and waits until nothing of them is left; what is left after that.
    fn leftovers(&mut self) -> Vec<String> {
        if self.daemon.is_none() {
            self.start_daemon();
        }
        self.remove_containers();
        let begun = std::time::Instant::now();
        loop {
            let left = self.look().beyond(&self.traces);
            // A template of machines that is being made is nothing that is left.
            let limit = Duration::from_secs(if left.iter().any(|one| one.contains("/draft-")) { 60 } else { 5 });
            if left.is_empty() || begun.elapsed() > limit {
                return left;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let is_failing = std::thread::panicking();
        if is_failing {
            let log = self.log();
            let tail = log.lines().count().saturating_sub(40);
            eprintln!("--- the daemon said:\n{}", log.lines().skip(tail).collect::<Vec<_>>().join("\n"));
        }
        if self.kind == Kind::Existing {
            return self.remove_containers();
        }
        let left = if is_failing { Vec::new() } else { self.leftovers() };
        if is_failing && self.daemon.is_some() {
            self.remove_containers();
            self.remove_machines();
        }
        if let Some(mut daemon) = self.daemon.take() {
            signal(daemon.id(), "TERM");
            for _ in 0..200 {
                if daemon.try_wait().is_ok_and(|status| status.is_some()) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            daemon.kill().ok();
            daemon.wait().ok();
        }
        crate::leftover::sweep(self.place.path(), &self.cgroup);
        if let Some(mut holder) = self.holder.take() {
            holder.kill().ok();
            holder.wait().ok();
        }
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }
}

/// The berth binary: `BERTH_TEST_BINARY`, or the one that cargo built beside the tests.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("BERTH_TEST_BINARY") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the test's own path");
    let path = test.ancestors().nth(2).expect("target/…/deps/test").join("berth");
    assert!(path.is_file(), "{} is missing: cargo build -p berth", path.display());
    path
}

fn place() -> TempDir {
    tempfile::Builder::new().prefix("berth-test-").tempdir_in("/tmp").expect("a place for the engine")
}

/// A process that keeps a mount and a network namespace (with loopback up) until its input closes.
fn hold_namespaces() -> Child {
    let mut holder = Command::new("unshare")
        .args(["--mount", "--net", "--propagation", "private", "--", "sh", "-c"])
        .arg("ip link set lo up && echo ready && exec cat >/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare starts: the tests need root");
    let mut line = String::new();
    BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line).expect("the holder speaks");
    assert_eq!(line, "ready\n", "no namespaces: the tests need root");
    holder
}

/// Sends a signal by name with kill(1).
pub fn signal(pid: u32, name: &str) {
    Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).stderr(Stdio::null()).status().ok();
}

/// The capabilities that this machine has at all, as the mask in /proc/self/status.
pub fn bounding_capabilities() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    line.expect("a bounding set").trim().to_owned()
}
