//! Pure cgroup v2: what the kernel's files say of a container. Where v1 controllers are mounted these are skipped;
//! guest.rs runs them in a machine that has nothing else.

use std::path::PathBuf;

use berth_blackbox::{Engine, eventually};
use serde_json::{Value, json};

macro_rules! engine {
    () => {{
        let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        if !controllers.contains("memory") {
            berth_blackbox::skip!("pure cgroup v2 is tried in a machine of its own by make test-vm");
        }
        Engine::start()
    }};
}

/// The container's folder: one, below the parent that the daemon was given, named by the id.
fn folder(engine: &Engine, id: &str) -> PathBuf {
    let parent = PathBuf::from("/sys/fs/cgroup").join(engine.cgroup());
    let entries = std::fs::read_dir(&parent).expect("the parent").flatten().map(|entry| entry.path());
    let found = entries.filter(|path| path.to_string_lossy().contains(id)).collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "one cgroup of {id} in {}", parent.display());
    found[0].clone()
}

fn read(engine: &Engine, id: &str, file: &str) -> String {
    let path = folder(engine, id).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

#[test]
fn limits_are_in_the_kernels_files_and_change_there() {
    let engine = engine!();
    let host = json!({"Memory": 64 << 20, "MemorySwap": 96 << 20, "MemoryReservation": 32 << 20, "PidsLimit": 50,
        "NanoCpus": 500_000_000, "CpuShares": 2048, "CpusetCpus": "0",
        "BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": 1 << 20}],
        "BlkioDeviceWriteIOps": [{"Path": "/dev/vda", "Rate": 77}]});
    let id = engine.run("", &["sleep", "600"], json!({"HostConfig": host}));
    for (file, value) in [
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("memory.low", "33554432"),
        ("pids.max", "50"),
        ("cpu.max", "50000 100000"),
        ("cpuset.cpus", "0"),
        ("cgroup.type", "domain"),
    ] {
        assert_eq!(read(&engine, &id, file), value, "{file}");
    }
    let weight: u64 = read(&engine, &id, "cpu.weight").parse().expect("a number");
    assert!(weight > 70 && weight < 300, "twice the usual shares: {weight}");
    let io = read(&engine, &id, "io.max");
    assert!(io.contains("rbps=1048576") && io.contains("wiops=77"), "{io}");
    let body = json!({"Memory": 32 << 20, "MemorySwap": 32 << 20, "PidsLimit": 7, "NanoCpus": 250_000_000});
    engine.http().post_json(&format!("/containers/{id}/update"), &body).expect(200);
    let now = ["memory.max", "memory.swap.max", "pids.max", "cpu.max"].map(|file| read(&engine, &id, file));
    assert_eq!(now, ["33554432", "0", "7", "25000 100000"]);
    let stats = engine.http().get(&format!("/containers/{id}/stats?stream=0")).expect(200).json();
    assert_eq!((&stats["memory_stats"]["limit"], &stats["pids_stats"]["limit"]), (&json!(32 << 20), &json!(7)));
    assert!(stats["cpu_stats"]["cpu_usage"]["total_usage"].as_u64().is_some_and(|ns| ns > 0), "{stats}");
}

#[test]
fn a_hog_is_killed_and_counted_and_processors_are_held_back() {
    let engine = engine!();
    let host = json!({"HostConfig": {"Memory": 16 << 20, "MemorySwap": 16 << 20}});
    let hog = engine.run("", &["sh", "-c", "tail /dev/zero"], host);
    assert_eq!(engine.wait(&hog), 137);
    assert_eq!(engine.inspect(&hog)["State"]["OOMKilled"], true);
    let busy = engine.run("", &["sh", "-c", "while :; do :; done"], json!({"HostConfig": {"NanoCpus": 100_000_000}}));
    let throttled = || {
        let text = read(&engine, &busy, "cpu.stat");
        text.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse::<u64>().ok()).unwrap_or(0)
    };
    eventually("it is throttled", 10, || (throttled() > 0).then_some(()));
}

#[test]
fn devices_are_refused_by_a_program_in_the_kernel() {
    let engine = engine!();
    let script = "mknod /tmp/null c 1 3; mknod /tmp/mem c 1 1; mknod /tmp/kmsg c 1 11; mknod /tmp/disk b 254 0
        for name in null mem kmsg disk; do (exec < /tmp/$name) 2>/dev/null && echo $name; done; exit 0";
    // With the host's ids mknod is allowed, and the filter alone decides what may be opened.
    let opened = |rules: Value| {
        let host = json!({"HostConfig": {"UsernsMode": "host", "DeviceCgroupRules": rules, "CapAdd": ["SYSLOG"]}});
        engine.run_to_end(&["sh", "-c", script], host).1
    };
    assert_eq!(opened(json!([])), "null\n");
    assert_eq!(opened(json!(["c 1:11 r"])), "null\nkmsg\n");
    let host = json!({"HostConfig": {"Privileged": true}});
    let all = engine.run_to_end(&["sh", "-c", script], host).1;
    assert!(all.contains("null\n") && all.contains("kmsg\n") && all.contains("disk\n"), "{all}");
}

#[test]
fn frozen_hidden_and_gone() {
    let mut engine = engine!();
    let id = engine.run("it", &["sleep", "600"], json!({}));
    engine.http().post(&format!("/containers/{id}/pause")).expect(204);
    assert_eq!(read(&engine, &id, "cgroup.freeze"), "1");
    assert!(read(&engine, &id, "cgroup.events").contains("frozen 1"));
    // A daemon that comes later knows, and can undo it.
    engine.kill_daemon();
    engine.start_daemon();
    assert_eq!(engine.inspect(&id)["State"]["Status"], "paused");
    engine.http().post(&format!("/containers/{id}/unpause")).expect(204);
    assert!(read(&engine, &id, "cgroup.events").contains("frozen 0"));
    // Nothing but leaves has processes, and the parent hands every controller down.
    let parent = PathBuf::from("/sys/fs/cgroup").join(engine.cgroup());
    let file = |name: &str| std::fs::read_to_string(parent.join(name)).expect(name);
    assert_eq!(file("cgroup.procs"), "");
    assert!(["cpu", "memory", "pids", "io"].iter().all(|name| file("cgroup.subtree_control").contains(name)));
    let own = folder(&engine, &id);
    engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
    eventually("the cgroup is gone", 5, || (!own.exists()).then_some(()));
    let look =
        "cat /proc/self/cgroup; ls /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x 2>/dev/null || echo fixed";
    let (_, private) = engine.run_to_end(&["sh", "-c", look], json!({"HostConfig": {"CgroupnsMode": "private"}}));
    assert_eq!(private, "0::/\n/sys/fs/cgroup/cgroup.procs\nfixed\n");
    let (_, host) = engine.run_to_end(&["sh", "-c", look], json!({"HostConfig": {"CgroupnsMode": "host"}}));
    assert!(host.starts_with(&format!("0::/{}/", engine.cgroup())), "{host}");
    let info = engine.http().get("/info").json();
    assert_eq!((info["CgroupVersion"].as_str(), info["CgroupDriver"].as_str()), (Some("2"), Some("cgroupfs")));
}
