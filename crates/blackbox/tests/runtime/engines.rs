//! Engines of others that drive the runtime.

use std::os::unix::fs::PermissionsExt;

use berth_blackbox::{Engine, Kind, command, skip};
use serde_json::json;

use berth_blackbox::Bundle;

/// A program that is the runtime and nothing else, as engines want it.
fn program(dir: &std::path::Path) -> String {
    let path = dir.join("berth-runtime");
    std::os::unix::fs::symlink(berth_blackbox::engine::binary(), &path).expect("a link");
    assert!(path.metadata().is_ok_and(|file| file.permissions().mode() & 0o111 != 0));
    path.display().to_string()
}

#[test]
fn dockerd_runs_its_containers_with_it() {
    if !command::is_installed("dockerd") {
        skip!("dockerd is not installed");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let add = format!("berth={}", program(dir.path()));
    let mut engine =
        Engine::launch(Kind::Docker, "dockerd".into(), &["--add-runtime", &add, "--default-runtime", "berth"]);
    engine.import_busybox();
    let (code, output) = engine.run_to_end(&["sh", "-c", "echo out; id -u; exit 3"], json!({"User": "alice"}));
    assert_eq!((code, output.as_str()), (3, "out\n1000\n"));
    let id = engine.run("", &["sleep", "60"], json!({"HostConfig": {"PidsLimit": 40}}));
    assert_eq!(engine.inspect(&id)["HostConfig"]["Runtime"], "berth");
    assert_eq!(engine.cli(&["exec", &id, "echo", "inside"]).ok(), "inside");
    assert_eq!(engine.cli(&["exec", "-t", &id, "tty"]).ok(), "/dev/pts/0");
    assert_eq!(engine.cli(&["run", "--rm", "-t", "busybox", "tty"]).ok(), "/dev/pts/0");
    engine.http().post(&format!("/containers/{id}/pause")).expect(204);
    engine.http().post(&format!("/containers/{id}/unpause")).expect(204);
    assert!(engine.cli(&["top", &id]).ok().contains("sleep 60"));
    engine.cli(&["update", "--pids-limit", "30", &id]).ok();
    assert!(engine.cli(&["run", "--rm", "busybox", "nosuch"]).code(127).is_empty());
    engine.http().post(&format!("/containers/{id}/restart?t=0")).expect(204);
    engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
}

#[test]
fn containerd_runs_its_containers_with_it() {
    if !command::is_installed("containerd") || !command::is_installed("ctr") {
        skip!("containerd is not installed");
    }
    let bundle = Bundle::new("true");
    let runtime = program(bundle.path("").as_path());
    let daemon = Containerd::start(&bundle);
    let rootfs = bundle.path("rootfs").display().to_string();
    let id = bundle.id();
    let run = ["run", "--rootfs", "--runc-binary", &runtime];
    let line = |flags: &[&str], command: &[&str]| {
        let words: Vec<&str> =
            run.iter().chain(flags).chain(&[rootfs.as_str(), id.as_str()]).chain(command).copied().collect();
        daemon.ctr(&words)
    };
    assert_eq!(line(&["--rm"], &["/bin/echo", "hello"]).ok(), "hello");
    line(&["--rm"], &["/bin/sh", "-c", "exit 3"]).code(3);
    line(&["-d"], &["/bin/sleep", "60"]).ok();
    assert!(daemon.ctr(&["task", "ls"]).ok().contains("RUNNING"));
    assert_eq!(daemon.ctr(&["task", "exec", "--exec-id", "one", &id, "/bin/echo", "inside"]).ok(), "inside");
    daemon.ctr(&["task", "pause", &id]).ok();
    assert!(daemon.ctr(&["task", "ls"]).ok().contains("PAUSED"));
    daemon.ctr(&["task", "resume", &id]).ok();
    daemon.ctr(&["task", "kill", "-s", "KILL", &id]).ok();
    berth_blackbox::eventually("its end", 10, || daemon.ctr(&["task", "ls"]).ok().contains("STOPPED").then_some(()));
    daemon.ctr(&["task", "rm", &id]);
    daemon.ctr(&["container", "rm", &id]).ok();
}

/// A containerd in a mount namespace of its own.
struct Containerd {
    child: std::process::Child,
    socket: String,
}

impl Containerd {
    fn start(bundle: &Bundle) -> Self {
        let at = |name: &str| bundle.path(name).display().to_string();
        let socket = at("containerd.sock");
        let log = std::fs::File::create(bundle.path("containerd.log")).expect("a log");
        let child = std::process::Command::new("unshare")
            .args(["-m", "--", "containerd", "--root", &at("containerd"), "--state", &at("run"), "--address", &socket])
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("containerd starts");
        let daemon = Self { child, socket };
        berth_blackbox::eventually("containerd answers", 20, || (daemon.ctr(&["version"]).code == 0).then_some(()));
        daemon
    }

    fn ctr(&self, arguments: &[&str]) -> command::Output {
        let mut ctr = std::process::Command::new("ctr");
        ctr.args(["--address", &self.socket]).args(arguments);
        command::run(ctr, b"")
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
