//! Networks of settings, IPv6 to published ports while no daemon runs, and what the first container is told.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use berth_blackbox::{Engine, eventually};
use serde_json::json;

/// Speaks from the host and from containers.
const PROBE: &str = env!("CARGO_BIN_EXE_probe");

#[test]
fn networks_are_made_from_settings() {
    let engine = Engine::start();
    let settings = [
        "network",
        "create",
        "--config-only",
        "--subnet",
        "10.77.0.0/24",
        "--gateway",
        "10.77.0.9",
        "--label",
        "a=b",
        "-o",
        "com.docker.network.driver.mtu=1400",
        "settings",
    ];
    engine.cli(&settings).ok();
    let shown = engine.http().get("/networks/settings").expect(200).json();
    assert_eq!((shown["ConfigOnly"].as_bool(), shown["Driver"].as_str()), (Some(true), Some("null")));
    assert_eq!(shown["IPAM"]["Config"][0]["Subnet"].as_str(), Some("10.77.0.0/24"));
    engine.cli(&["run", "--rm", "--network", "settings", "busybox", "true"]).fails("settings");
    let own = ["network", "create", "--config-from", "settings", "--subnet", "10.78.0.0/24", "made"];
    engine.cli(&own).fails("user specified configurations are not supported");
    engine.cli(&["network", "create", "--config-from", "settings", "made"]).ok();
    let shown = engine.http().get("/networks/made").expect(200).json();
    assert_eq!(shown["ConfigFrom"]["Network"].as_str(), Some("settings"));
    assert_eq!(shown["IPAM"]["Config"][0]["Gateway"].as_str(), Some("10.77.0.9"));
    let script = "ip route | head -1; cat /sys/class/net/eth0/mtu";
    let (_, text) = engine.run_to_end(&["sh", "-c", script], json!({"HostConfig": {"NetworkMode": "made"}}));
    assert!(text.contains("10.77.0.9") && text.contains("1400"), "{text}");
    engine.cli(&["network", "rm", "settings"]).fails("is in use");
    engine.cli(&["network", "rm", "made"]).ok();
    engine.cli(&["network", "rm", "settings"]).ok();
}

/// Sends a word to a port of the host from its own namespace, and returns what comes back; nothing where nobody answers.
fn ask(engine: &Engine, address: &str, port: &str) -> String {
    let mut client = engine.neighbour("busybox");
    client.args(["nc", "-w", "5", address, port]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = client.spawn().expect("busybox");
    // Where nobody listens it has ended already.
    let _ = client.stdin.as_mut().expect("its input").write_all(b"hello\n");
    let mut answer = [0; 64];
    let count = client.stdout.as_mut().expect("its output").read(&mut answer).unwrap_or(0);
    let _ = client.kill();
    let _ = client.wait();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

fn ask_udp(engine: &Engine, address: &str) -> String {
    engine.host(&[PROBE, "udp-ask", address, "hello"]).text().trim().to_owned()
}

#[test]
fn ipv6_reaches_published_ports_while_no_daemon_runs() {
    let mut engine = Engine::start();
    let probe = std::fs::read(PROBE).expect("the probe");
    let mut archive = tar::Builder::new(Vec::new());
    berth_blackbox::busybox::file(&mut archive, "probe", &probe, 0o755);
    engine.import("probe:latest", &archive.into_inner().expect("memory"), &[]);
    let published = |port: &str| {
        let bindings = json!({ port: [{"HostPort": "7007"}] });
        json!({"HostConfig": {"PortBindings": bindings}, "ExposedPorts": {port: {}}})
    };
    let stream = engine.run("", &["nc", "-ll", "-p", "7", "-e", "cat"], published("7/tcp"));
    let mut settings = published("7/udp");
    settings["Image"] = json!("probe");
    let datagram = engine.run("", &["/probe", "udp-echo", "7"], settings);
    eventually("the servers answer", 10, || {
        (ask(&engine, "127.0.0.1", "7007") == "hello\n" && ask_udp(&engine, "127.0.0.1:7007") == "hello").then_some(())
    });
    let everywhere = |engine: &Engine| {
        assert_eq!(ask(engine, "::1", "7007"), "hello\n");
        assert_eq!(ask(engine, "127.0.0.1", "7007"), "hello\n");
        assert_eq!(ask_udp(engine, "[::1]:7007"), "hello");
        assert_eq!(ask_udp(engine, "127.0.0.1:7007"), "hello");
    };
    everywhere(&engine);
    if !engine.is_docker() {
        engine.kill_daemon();
        everywhere(&engine);
        engine.start_daemon();
        everywhere(&engine);
    }
    for id in [stream, datagram] {
        engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
    }
    assert_eq!(ask(&engine, "::1", "7007"), "", "closed with its container");
}

#[test]
fn the_first_container_is_told_what_hinders_its_packets() {
    let engine = Engine::start_with(&["--ip-forward=false"]);
    if engine.is_docker() {
        return println!("skipped: 20.10 says it in its info alone");
    }
    engine.host(&["sysctl", "-q", "-w", "net.ipv4.ip_forward=0"]).ok();
    let wanted =
        "IPv4 forwarding is disabled: containers cannot reach the network: run `sysctl -w net.ipv4.ip_forward=1`";
    let create = json!({"Image": "busybox", "Cmd": ["true"]});
    let warnings = |engine: &Engine| {
        engine.http().post_json("/containers/create", &create).expect(201).json()["Warnings"].to_string()
    };
    assert!(warnings(&engine).contains(wanted));
    assert!(!warnings(&engine).contains(wanted), "once is enough");
    let info = engine.http().get("/info").expect(200).json()["Warnings"].to_string();
    assert!(info.contains(wanted), "{info}");
    let sctp = engine.cli(&["run", "--rm", "-p", "9/sctp", "busybox", "true"]);
    // A kernel that has it publishes the port.
    assert!(sctp.code == 0 || sctp.stderr.contains("modprobe sctp"), "{}", sctp.stderr);
}
