//! Devices that vendors describe (CDI), asked for by qualified name and by `--gpus`.

use std::fs;

use berth_blackbox::{Engine, Kind, skip};
use serde_json::json;

const NIC: &str = r#"{"cdiVersion": "0.6.0", "kind": "vendor.com/nic", "containerEdits": {"env": ["VENDOR=here"]},
    "devices": [{"name": "nic0", "containerEdits": {
        "env": ["NIC=0"],
        "deviceNodes": [{"path": "/dev/nic0", "hostPath": "/dev/zero", "permissions": "rw"}],
        "mounts": [{"hostPath": "PLACE/library", "containerPath": "/usr/lib/nic", "options": ["ro", "nosuid"]}],
        "hooks": [
            {"hookName": "createRuntime", "path": "/bin/sh", "args": ["sh", "-c", "cat >PLACE/created"]},
            {"hookName": "poststart", "path": "/bin/sh", "args": ["sh", "-c", "cat >PLACE/started"]},
            {"hookName": "poststop", "path": "/bin/sh", "args": ["sh", "-c", "cat >PLACE/stopped"]}],
        "netDevices": [{"hostInterfaceName": "nic0", "name": "fast0"}],
        "additionalGids": [4321]
    }}]}"#;
const GPU: &str = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: '0'\n  containerEdits:\n    env: [GPU=zero]\n- name: all\n  containerEdits:\n    env: [GPU=every]\n";

/// Shows all that a description changes.
const LOOK: &str = "echo $VENDOR $NIC; head -c 3 /dev/nic0 | od -An -tx1; cat /usr/lib/nic/file; id -G; \
    touch /usr/lib/nic/new 2>/dev/null || echo read-only; cat /sys/class/net/fast0/operstate";

#[test]
fn described_devices_are_in_the_container_and_nowhere_else() {
    let described = tempfile::tempdir().expect("a folder");
    let place = described.path().to_str().expect("a plain path");
    fs::create_dir(described.path().join("library")).expect("a folder");
    fs::write(described.path().join("library/file"), "library\n").expect("a file");
    fs::write(described.path().join("nic.json"), NIC.replace("PLACE", place)).expect("a file");
    fs::write(described.path().join("gpu.yaml"), GPU).expect("a file");
    let engine = Engine::start_with(&["--cdi-spec-dir", place]);
    if engine.kind() != Kind::Berth {
        skip!("this engine knows no descriptions of devices");
    }
    let run = |arguments: &[&str]| {
        let mut line = vec!["run", "--rm"];
        line.extend(arguments);
        engine.cli(&line)
    };
    engine.host(&["ip", "link", "add", "nic0", "type", "veth", "peer", "name", "nic1"]).ok();
    engine.host(&["ip", "link", "set", "nic1", "up"]).ok();
    let seen = run(&["--device", "vendor.com/nic=nic0", "busybox", "sh", "-c", LOOK]);
    assert_eq!(seen.ok(), "here 0\n 00 00 00\nlibrary\n0 4321\nread-only\nup");
    for (point, said) in [("created", "creating"), ("started", "running"), ("stopped", "stopped")] {
        let state = fs::read_to_string(described.path().join(point)).expect("the hook ran");
        assert!(state.contains(said), "{point}: {state}");
    }

    assert_eq!(run(&["--gpus", "all", "busybox", "sh", "-c", "echo $GPU"]).ok(), "every");
    assert_eq!(run(&["--gpus", "1", "busybox", "sh", "-c", "echo $GPU"]).ok(), "zero");
    assert_eq!(run(&["busybox", "sh", "-c", "ls /dev/nic0; echo \"[$GPU]\""]).ok(), "[]");

    steps_of_builds_have_them(&engine);

    let info = engine.http().get("/info").json();
    assert_eq!(info["CDISpecDirs"], json!([place]));
    let found: Vec<_> = info["DiscoveredDevices"].as_array().expect("a list").iter().map(|one| &one["ID"]).collect();
    assert_eq!(found, ["nvidia.com/gpu=0", "nvidia.com/gpu=all", "vendor.com/nic=nic0"]);
}

#[test]
fn devices_that_nobody_describes_are_refused_by_name() {
    let described = tempfile::tempdir().expect("a folder");
    fs::write(described.path().join("bad.json"), "{").expect("a file");
    let engine = Engine::start_with(&["--cdi-spec-dir", described.path().to_str().expect("a plain path")]);
    if engine.kind() != Kind::Berth {
        skip!("this engine knows no descriptions of devices");
    }
    for (flag, value, said) in [
        ("--device", "vendor.com/nic=nic7", "unresolvable CDI devices vendor.com/nic=nic7"),
        ("--device", "vendor.com/nic=nic7", "bad.json"),
        ("--gpus", "all", "could not select device driver \"\" with capabilities: [[gpu]]"),
    ] {
        let refused = engine.cli(&["run", "--rm", flag, value, "busybox", "true"]);
        refused.code(125);
        refused.fails(said);
    }
}

/// `RUN --device`: by name, by kind, and what is not there.
fn steps_of_builds_have_them(engine: &Engine) {
    let folder = engine.place().join("devices");
    fs::create_dir(&folder).expect("a folder");
    let build = |device: &str, allow: &str, command: &str| {
        let text = format!("FROM busybox\nRUN --device={device} {command}\n");
        fs::write(folder.join("Dockerfile"), text).expect("a Dockerfile");
        engine.berth(&["build", "--progress=plain", allow, &folder.display().to_string()])
    };
    let gpus = build("nvidia.com/gpu=0", "--allow=device", "test \"$GPU\" = zero");
    assert_eq!(gpus.code, 0, "{}", gpus.stderr);
    let first = build("nvidia.com/gpu", "--allow=device", "env | grep ^GPU=");
    assert_eq!(first.code, 0, "{}", first.stderr);
    let refused = build("nvidia.com/gpu=0", "--allow=network.host", "true");
    assert!(refused.stderr.contains("device is not allowed"), "{}", refused.stderr);
    let absent = build("vendor.com/nic=9", "--allow=device", "test ! -e /dev/nic0");
    assert_eq!(absent.code, 0, "what is not required may be missing: {}", absent.stderr);
    let required = build("vendor.com/nic=9,required", "--allow=device", "true");
    assert!(required.stderr.contains("device vendor.com/nic=9 is not there"), "{}", required.stderr);
}
