//! What a container cannot see or do, and the flags that open it: capabilities, namespaces, masked paths, seccomp.

use berth_blackbox::Engine;
use serde_json::{Value, json};

/// Effective capabilities as the mask in /proc/self/status.
fn capabilities(engine: &Engine, host: Value) -> u64 {
    let (_, text) = engine.run_to_end(&["grep", "CapEff", "/proc/self/status"], json!({"HostConfig": host}));
    u64::from_str_radix(text.trim().rsplit('\t').next().expect("a mask"), 16).unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn capabilities_are_dockers_fourteen_by_default() {
    let engine = Engine::start();
    assert_eq!(capabilities(&engine, json!({})), 0xa804_25fb);
    assert_eq!(capabilities(&engine, json!({"CapDrop": ["ALL"]})), 0);
    assert_eq!(capabilities(&engine, json!({"CapDrop": ["ALL"], "CapAdd": ["NET_ADMIN"]})), 1 << 12);
    assert_eq!(capabilities(&engine, json!({"CapAdd": ["CAP_SYS_TIME"]})), 0xa804_25fb | 1 << 25);
    assert_eq!(capabilities(&engine, json!({"CapDrop": ["chown"]})), 0xa804_25fa);
}

#[test]
fn an_ordinary_user_has_no_capabilities() {
    let engine = Engine::start();
    let (_, text) = engine.run_to_end(&["grep", "CapEff", "/proc/self/status"], json!({"User": "alice"}));
    assert_eq!(text, "CapEff:\t0000000000000000\n");
}

#[test]
fn dangerous_paths_are_masked_or_read_only() {
    let engine = Engine::start();
    let script = "cat /proc/kcore | wc -c; cat /proc/timer_list | wc -c; ls /sys/firmware | wc -l;
        echo 1 > /proc/sys/kernel/printk || echo read-only; mount -t tmpfs x /tmp || echo refused";
    let (_, text) = engine.run_to_end(&["sh", "-c", &format!("({script}) 2>/dev/null")], json!({}));
    assert_eq!(text, "0\n0\n0\nread-only\nrefused\n");
}

#[test]
fn privileged_lifts_the_masks() {
    let engine = Engine::start();
    if engine.is_docker() && !berth_blackbox::engine::bounding_capabilities().ends_with("ffffffff") {
        berth_blackbox::skip!("dockerd cannot run privileged where a capability is missing");
    }
    let script = "mount -t tmpfs x /tmp && echo mounted; test -e /dev/loop-control -o -e /dev/kmsg && echo devices";
    let (_, text) = engine.run_to_end(&["sh", "-c", script], json!({"HostConfig": {"Privileged": true}}));
    assert_eq!(text, "mounted\ndevices\n");
}

#[test]
fn the_engines_program_cannot_be_overwritten_from_a_container() {
    let engine = Engine::start();
    if engine.is_docker() {
        berth_blackbox::skip!("dockerd's containers have other processes above them");
    }
    let id = engine.run("", &["sleep", "100"], json!({"HostConfig": {"UsernsMode": "host"}}));
    let pid = engine.inspect(&id)["State"]["Pid"].as_i64().expect("a pid");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).expect("its supervisor").to_owned();
    let host = json!({"HostConfig": {"UsernsMode": "host", "PidMode": "host", "Privileged": true}});
    let script = format!("echo overwritten > /proc/{parent}/exe");
    let (code, text) = engine.run_to_end(&["sh", "-c", &script], host);
    assert_ne!(code, 0);
    assert!(text.contains("Read-only file system"), "{text}");
}

#[test]
fn no_new_privileges_is_set_on_request() {
    let engine = Engine::start();
    let line = ["grep", "NoNewPrivs", "/proc/self/status"];
    assert!(engine.run_to_end(&line, json!({})).1.ends_with("0\n"));
    let settings = json!({"HostConfig": {"SecurityOpt": ["no-new-privileges"]}});
    assert!(engine.run_to_end(&line, settings).1.ends_with("1\n"));
}

#[test]
fn seccomp_filters_unless_unconfined() {
    let engine = Engine::start();
    let line = ["grep", "Seccomp:", "/proc/self/status"];
    assert!(engine.run_to_end(&line, json!({})).1.ends_with("2\n"), "mode 2 is a filter");
    let settings = json!({"HostConfig": {"SecurityOpt": ["seccomp=unconfined"]}});
    assert!(engine.run_to_end(&line, settings).1.ends_with("0\n"));
}

#[test]
fn the_containers_process_is_number_one_and_sees_no_other() {
    let engine = Engine::start();
    assert_eq!(engine.run_to_end(&["sh", "-c", "echo $$"], json!({})).1, "1\n");
    let (_, text) = engine.run_to_end(&["sh", "-c", "ls -d /proc/[0-9]* | wc -l"], json!({}));
    assert!(text.trim().parse::<u32>().is_ok_and(|count| count <= 4), "{text}");
}

/// The inode of a namespace inside a container.
fn namespace(engine: &Engine, kind: &str, host: Value) -> String {
    engine.run_to_end(&["readlink", &format!("/proc/self/ns/{kind}")], json!({"HostConfig": host})).1.trim().to_owned()
}

#[test]
fn host_modes_share_the_daemons_namespaces() {
    let engine = Engine::start();
    let own = |kind: &str| {
        let link = std::fs::read_link(format!("/proc/{}/ns/{kind}", engine.daemon_pid())).expect("root may read it");
        link.to_string_lossy().into_owned()
    };
    for (kind, setting) in [("uts", "UTSMode"), ("ipc", "IpcMode"), ("pid", "PidMode"), ("net", "NetworkMode")] {
        assert_ne!(namespace(&engine, kind, json!({})), own(kind), "{kind} is the container's own by default");
        assert_eq!(namespace(&engine, kind, json!({setting: "host"})), own(kind), "{kind} of the host");
    }
}

#[test]
fn joining_a_container_shares_its_namespaces() {
    let engine = Engine::start();
    let settings = json!({"HostConfig": {"IpcMode": "shareable"}});
    let first = engine.run("first", &["sleep", "60"], settings);
    let of_first = |kind: &str| {
        let output = engine.cli(&["exec", &first, "readlink", &format!("/proc/self/ns/{kind}")]);
        output.ok()
    };
    for (kind, setting) in [("ipc", "IpcMode"), ("pid", "PidMode"), ("net", "NetworkMode")] {
        let joined = namespace(&engine, kind, json!({setting: "container:first"}));
        assert_eq!(joined, of_first(kind), "{kind}");
    }
}

#[test]
fn cgroup_namespace_hides_the_path_above() {
    let engine = Engine::start();
    let (_, text) =
        engine.run_to_end(&["cat", "/proc/self/cgroup"], json!({"HostConfig": {"CgroupnsMode": "private"}}));
    let line = text.lines().find(|line| line.contains(":memory:") || line.starts_with("0::")).unwrap_or_default();
    assert!(line.ends_with(":/"), "{text}");
}

#[test]
fn a_user_namespace_by_default_and_the_hosts_on_request() {
    let engine = Engine::start();
    let map = ["cat", "/proc/self/uid_map"];
    let (_, text) = engine.run_to_end(&map, json!({"HostConfig": {"UsernsMode": "host"}}));
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["0", "0", "4294967295"]);
    if engine.is_docker() {
        berth_blackbox::skip!("dockerd has no user namespace by default");
    }
    let parts = |text: String| text.split_whitespace().map(|n| n.parse().expect("a number")).collect::<Vec<u64>>();
    let first = parts(engine.run_to_end(&map, json!({})).1);
    assert!(first[0] == 0 && first[1] >= 65_536 && first[2] == 65_536, "{first:?}");
    let (one, two) = (engine.run("", &["sleep", "60"], json!({})), engine.run("", &["sleep", "60"], json!({})));
    let of = |id: &str| parts(engine.cli(&["exec", id, "cat", "/proc/self/uid_map"]).ok());
    assert_ne!(of(&one)[1], of(&two)[1], "each container has a range of its own");
}
