//! The daemon itself: flags, daemon.json, socket, defaults for containers, a client that starts it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use berth_blackbox::engine::binary;
use berth_blackbox::{Engine, Kind, Output, command, eventually};
use serde_json::json;

/// `berth daemon FLAGS` in a folder of its own, expected to end by itself.
fn daemon(folder: &Path, flags: &[&str]) -> Output {
    let mut line = Command::new(binary());
    line.arg("daemon").args(["--data-root", "data", "--exec-root", "run", "--pidfile", "pid"]).args(flags);
    line.current_dir(folder);
    command::run(line, b"")
}

#[test]
fn unknown_flags_and_keys_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    daemon(folder.path(), &["--no-such-flag"]).fails("no-such-flag");
    daemon(folder.path(), &["stray"]).fails("stray");
    let file = folder.path().join("daemon.json");
    let path = file.to_str().expect("UTF-8");
    for (text, part) in [
        ("{\"no-such-key\": true}", "no-such-key"),
        ("{\"debug\": \"yes\"}", "debug"),
        ("{\"debug\": tru", "daemon.json"),
        ("{\"data-root\": \"/x\"}", "data-root"),
        ("{\"log-driver\": \"stone\"}", "stone"),
    ] {
        std::fs::write(&file, text).expect("a file");
        let output = daemon(folder.path(), &["--config-file", path, "--validate"]);
        output.fails(part);
    }
    daemon(folder.path(), &["--config-file", "/no/such/file.json", "--validate"]).fails("/no/such/file.json");
    std::fs::write(&file, "{\"debug\": true, \"labels\": [\"a=b\"]}").expect("a file");
    daemon(folder.path(), &["--config-file", path, "--validate"]).code(0);
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1, "nothing but the file was made");
}

#[test]
fn the_socket_belongs_to_a_group_and_to_nobody_else() {
    let engine = Engine::start_with(&["--group", "daemon"]);
    let socket = std::fs::metadata(engine.socket()).expect("the socket");
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);
    assert_eq!((socket.uid(), socket.gid()), (0, 1));
}

#[test]
fn defaults_for_containers_come_from_the_flags() {
    let flags = ["--default-ulimit", "nofile=123:456", "--log-driver", "local", "--log-opt", "max-size=1m"];
    let engine = Engine::start_with(&flags);
    let (_, text) = engine.run_to_end(&["sh", "-c", "ulimit -Sn; ulimit -Hn"], json!({}));
    assert_eq!(text, "123\n456\n");
    let id = engine.create("", &["true"], json!({}));
    let config = engine.inspect(&id)["HostConfig"]["LogConfig"].clone();
    assert_eq!((config["Type"].as_str(), config["Config"]["max-size"].as_str()), (Some("local"), Some("1m")));
    assert_eq!(engine.http().get("/info").json()["LoggingDriver"], "local");
}

#[test]
fn another_bridge_address_is_used_throughout() {
    let engine = Engine::start_with(&["--bip", "10.77.0.1/24"]);
    let id = engine.run("", &["sleep", "60"], json!({}));
    let network = engine.inspect(&id)["NetworkSettings"]["Networks"]["bridge"].clone();
    assert_eq!(network["Gateway"], "10.77.0.1");
    assert!(network["IPAddress"].as_str().is_some_and(|address| address.starts_with("10.77.0.")), "{network}");
}

#[test]
fn a_stop_without_live_restore_stops_the_containers() {
    let mut engine = Engine::start();
    let id = engine.run("", &["sleep", "60"], json!({"StopTimeout": 1}));
    let pid = engine.inspect(&id)["State"]["Pid"].as_u64().expect("a pid");
    engine.stop_daemon();
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(status.is_empty() || status.contains(") Z "), "the container runs on: {status}");
    engine.start_daemon();
    assert_eq!(engine.inspect(&id)["State"]["Status"], "exited");
}

#[test]
fn listening_on_tcp_needs_no_second_daemon() {
    let engine = Engine::start_with(&["-H", "tcp://127.0.0.1:2375"]);
    if engine.kind() != Kind::Berth {
        berth_blackbox::skip!("20.10 waits on purpose before it opens a port without TLS");
    }
    let probe = env!("CARGO_BIN_EXE_probe");
    eventually("an answer over TCP", 5, || {
        let output = engine.host(&[probe, "http", "127.0.0.1:2375"]);
        output.text().contains("page not found").then_some(())
    });
}

#[test]
fn completions_and_man_pages_come_from_the_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = |arguments: &[&str]| {
        let mut line = Command::new(binary());
        line.args(arguments);
        command::run(line, b"")
    };
    for shell in ["bash", "zsh", "fish"] {
        assert!(own(&["completion", shell]).ok().contains("berth"), "{shell}");
    }
    own(&["man", folder.path().to_str().expect("UTF-8")]).ok();
    let page = std::fs::read_to_string(folder.path().join("berth-run.1")).expect("a page for run");
    assert!(page.contains("memory"), "{page}");
    for verb in ["run", "ps", "logs", "exec", "system"] {
        assert!(own(&[verb, "--help"]).ok().starts_with("Usage:"), "{verb}");
    }
}

#[test]
fn a_client_starts_a_daemon_where_none_answers() {
    // The default places, under mounts of their own.
    let script = "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib && ip link set lo up || exit 99
        \"$0\" run --rm berth/hello && \"$0\" ps -aq; code=$?
        kill $(cat /run/berth/berth.pid); while [ -e /run/berth/berth.sock ]; do sleep 0.05; done; exit $code";
    let mut line = Command::new("unshare");
    line.args(["--mount", "--net", "--propagation", "private", "--", "sh", "-c", script]).arg(binary());
    line.env_remove("DOCKER_HOST").env("HOME", "/nowhere");
    let output = command::run(line, b"");
    // The default parent of the cgroups is the one thing outside; it goes when nothing else is in it.
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        std::fs::remove_dir(hierarchy.path().join("berth")).ok();
    }
    assert!(output.ok().starts_with("Hello from a berth container."), "{}", output.stderr);
}
