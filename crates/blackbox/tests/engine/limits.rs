//! Limits of memory, processors and processes, and changing them on a running container.

use berth_blackbox::{Engine, eventually};
use serde_json::json;

#[test]
fn too_much_memory_is_an_oom_kill_that_inspect_tells() {
    let engine = Engine::start();
    let host = json!({"HostConfig": {"Memory": 16 << 20, "MemorySwap": 16 << 20}});
    let id = engine.run("", &["sh", "-c", "tail /dev/zero"], host);
    assert_eq!(engine.wait(&id), 137);
    let state = engine.inspect(&id)["State"].clone();
    assert_eq!((state["OOMKilled"].as_bool(), state["ExitCode"].as_i64()), (Some(true), Some(137)), "{state}");
}

#[test]
fn a_limit_of_processes_holds() {
    let engine = Engine::start();
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo reached the end";
    let (code, text) = engine.run_to_end(&["sh", "-c", script], json!({"HostConfig": {"PidsLimit": 5}}));
    assert!(code != 0 && !text.contains("reached the end"), "{code} {text}");
}

#[test]
fn half_a_processor_is_half_of_one() {
    let engine = Engine::start();
    let script = "i=0; end=$(($(date +%s)+2)); while [ $(date +%s) -lt $end ]; do :; done; cat /proc/self/stat | cut -d' ' -f14,15,16,17";
    let (_, text) = engine
        .run_to_end(&["sh", "-c", &format!("({script}) && times")], json!({"HostConfig": {"NanoCpus": 200_000_000}}));
    let line = text.lines().last().expect("times of children");
    let seconds = |part: &str| {
        part.trim_end_matches('s')
            .split_once('m')
            .map_or(0.0, |(m, s)| m.parse::<f64>().unwrap_or(0.0) * 60.0 + s.parse::<f64>().unwrap_or(0.0))
    };
    let used: f64 = line.split_whitespace().map(seconds).sum();
    assert!(used > 0.05 && used < 1.2, "a fifth of a processor for 2 to 3 s: {used} s\n{text}");
}

#[test]
fn stats_tell_limit_and_use() {
    let engine = Engine::start();
    let id = engine.run("", &["sleep", "60"], json!({"HostConfig": {"Memory": 64 << 20, "PidsLimit": 20}}));
    let stats = engine.http().get(&format!("/containers/{id}/stats?stream=0")).expect(200).json();
    assert_eq!(stats["memory_stats"]["limit"], 64 << 20, "{stats}");
    assert!(stats["memory_stats"]["usage"].as_u64().is_some_and(|bytes| bytes > 0), "{stats}");
    assert_eq!(stats["pids_stats"]["current"], 1, "{stats}");
    assert!(stats["cpu_stats"]["cpu_usage"]["total_usage"].as_u64().is_some_and(|ns| ns > 0), "{stats}");
    assert!(stats["cpu_stats"]["system_cpu_usage"].as_u64().is_some_and(|ns| ns > 0), "{stats}");
    assert!(stats["networks"]["eth0"]["rx_bytes"].is_u64(), "{stats}");
    let table = engine.cli(&["stats", "--no-stream", "--format", "{{.MemUsage}}|{{.PIDs}}"]).ok();
    assert!(table.ends_with("/ 64MiB|1"), "{table}");
}

#[test]
fn update_changes_a_running_container() {
    let engine = Engine::start();
    let id = engine.run("", &["sleep", "60"], json!({"HostConfig": {"Memory": 64 << 20, "MemorySwap": 128 << 20}}));
    let body = json!({"Memory": 32 << 20, "MemorySwap": 64 << 20, "PidsLimit": 7, "CpuShares": 512});
    engine.http().post_json(&format!("/containers/{id}/update"), &body).expect(200);
    let host = engine.inspect(&id)["HostConfig"].clone();
    assert_eq!(
        (host["Memory"].as_i64(), host["PidsLimit"].as_i64(), host["CpuShares"].as_i64()),
        (Some(32 << 20), Some(7), Some(512))
    );
    let stats = engine.http().get(&format!("/containers/{id}/stats?stream=0")).expect(200).json();
    assert_eq!(stats["memory_stats"]["limit"], 32 << 20);
    assert_eq!(stats["pids_stats"]["limit"], 7);
}

#[test]
fn cpuset_pins() {
    let engine = Engine::start();
    let (_, text) = engine
        .run_to_end(&["grep", "Cpus_allowed_list", "/proc/self/status"], json!({"HostConfig": {"CpusetCpus": "0"}}));
    assert_eq!(text.trim(), "Cpus_allowed_list:\t0");
}

#[test]
fn the_kernel_has_the_limits_and_gives_them_back() {
    let engine = Engine::start();
    let id = engine.run("", &["sleep", "60"], json!({"HostConfig": {"Memory": 64 << 20}}));
    let has = |traces: &berth_blackbox::leftover::Traces| {
        traces.beyond(&Default::default()).iter().any(|t| t.starts_with("cgroup") && t.contains(&id[..12]))
    };
    assert!(has(&engine.look()), "the cgroup carries the id, below the wanted parent");
    engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
    eventually("the cgroup is gone", 5, || (!has(&engine.look())).then_some(()));
}
