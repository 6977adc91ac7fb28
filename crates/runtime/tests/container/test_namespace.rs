//! Namespaces: all new by default, the host's on request, another container's by path.

use std::fs;

use serde_json::json;

use crate::Test;
use crate::sandbox::{BASE, Sandbox, kill};

pub const TESTS: &[Test] = &[
    ("namespace::all_differ_from_the_hosts", all_differ_from_the_hosts),
    ("namespace::the_hosts_are_shared_on_request", the_hosts_are_shared_on_request),
    ("namespace::without_a_user_namespace", without_a_user_namespace),
    ("namespace::another_containers_are_joined", another_containers_are_joined),
    ("namespace::clocks_are_shifted", clocks_are_shifted),
    ("namespace::settings_are_written", settings_are_written),
    ("namespace::loopback_is_up", loopback_is_up),
    ("namespace::control_groups_are_seen_as_the_root", control_groups_are_seen_as_the_root),
];

const KINDS: [&str; 7] = ["mnt", "pid", "ipc", "uts", "net", "user", "cgroup"];

fn of_host(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).expect("namespace").to_string_lossy().into_owned()
}

fn links(kinds: &[&str]) -> String {
    let script: Vec<String> = kinds.iter().map(|kind| format!("readlink /proc/self/ns/{kind}")).collect();
    script.join("; ")
}

fn all_differ_from_the_hosts() {
    let script = format!("{}; hostname; cat /proc/self/uid_map; id; echo $$", links(&KINDS));
    let output = Sandbox::new(&script).output();
    let lines: Vec<&str> = output.lines().collect();
    for (kind, line) in KINDS.iter().zip(&lines) {
        assert!(line.starts_with(kind), "{line}");
        assert_ne!(*line, of_host(kind), "{kind}");
    }
    assert_eq!(lines[7], "box");
    assert_eq!(lines[8].split_whitespace().collect::<Vec<_>>(), ["0", &BASE.to_string(), "65536"]);
    assert_eq!(lines[9], "uid=0(root) gid=0(root)");
    assert_eq!(lines[10], "1");
}

fn the_hosts_are_shared_on_request() {
    let shared = ["net", "ipc", "uts"];
    let output = Sandbox::new(&format!("{}; test -d /sys/class/net && echo sys", links(&shared)))
        .without(&["network", "ipc", "uts"])
        .output();
    let expected: Vec<String> = shared.iter().map(|kind| of_host(kind)).chain([String::from("sys")]).collect();
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);
    let output = Sandbox::new(&links(&["pid"])).without(&["pid"]).output();
    assert_eq!(output, of_host("pid"));
}

fn without_a_user_namespace() {
    let sandbox = Sandbox::new("readlink /proc/self/ns/user; touch /made; stat -c %u /made").without(&["user"]);
    assert_eq!(sandbox.output(), format!("{}\n0", of_host("user")));
    let output =
        Sandbox::new("id -u; echo hi > /dev/null && echo null").without(&["user", "network", "cgroup"]).output();
    assert_eq!(output, "0\nnull");
}

fn another_containers_are_joined() {
    let first = Sandbox::new("sleep 60");
    let (created, _output) = first.start().expect("start");
    let pid = created.container.pid;
    let join = |kinds: &[(&str, &str)]| {
        let kinds: Vec<(String, String)> =
            kinds.iter().map(|(kind, file)| (kind.to_string(), format!("/proc/{pid}/ns/{file}"))).collect();
        Sandbox::new(&format!("{}; ps | grep -c 'sleep 6[0]'; true", links(&KINDS))).change(|spec| {
            for namespace in spec["linux"]["namespaces"].as_array_mut().expect("namespaces") {
                if let Some((_, path)) = kinds.iter().find(|(kind, _)| namespace["type"] == **kind) {
                    namespace["path"] = json!(path);
                }
            }
        })
    };
    let theirs =
        |kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("link").to_string_lossy().into_owned();
    let all = [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("user", "user")];
    let output = join(&all).run();
    let network = join(&all[1..2]).run();
    let expected: Vec<String> = KINDS.iter().map(|kind| theirs(kind)).collect();
    kill(&created.container);
    let output = output.expect("all joined").output;
    let lines: Vec<&str> = output.lines().collect();
    for (index, kind) in KINDS.iter().enumerate() {
        assert_eq!(lines[index] == expected[index], !matches!(*kind, "mnt" | "cgroup"), "{kind}");
    }
    assert_eq!(lines[7], "1", "the other's processes are seen");
    let output = network.expect("network joined").output;
    assert_eq!(output.lines().nth(4), Some(expected[4].as_str()));
    assert_eq!(of_host("net"), of_host("net"), "the maker came home");
    assert_ne!(of_host("net"), expected[4]);
}

fn clocks_are_shifted() {
    let sandbox = Sandbox::new("cat /proc/uptime").change(|spec| {
        spec["linux"]["namespaces"].as_array_mut().expect("list").push(json!({ "type": "time" }));
        spec["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 1_000_000 }, "monotonic": { "secs": 5 } });
    });
    let before = of_host("time");
    let uptime: f64 = sandbox.output().split(' ').next().and_then(|text| text.parse().ok()).expect("uptime");
    assert!(uptime > 1_000_000.0, "{uptime}");
    assert_eq!((before, of_host("time")), (of_host("time"), of_host("time_for_children").replace("_for_children", "")));
}

fn settings_are_written() {
    let with = |name: &'static str, value: &'static str| {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        let change = move |spec: &mut serde_json::Value| spec["linux"]["sysctl"] = json!({ name: value });
        Sandbox::new(&format!("cat {file}; echo x 2>/dev/null >{file}; true")).change(change)
    };
    assert_eq!(with("net.ipv4.ip_unprivileged_port_start", "7").output(), "7");
    assert_eq!(with("kernel.shm_rmid_forced", "1").output(), "1");
    let error = with("net.nothing", "1").run().expect_err("no such setting");
    assert!(error.to_string().contains("cannot set net.nothing"), "{error}");
}

fn loopback_is_up() {
    assert!(Sandbox::new("ip addr show lo").output().contains("127.0.0.1"));
}

fn control_groups_are_seen_as_the_root() {
    let name = format!("/berth-test/{}", std::process::id());
    let sandbox =
        Sandbox::new("cat /proc/self/cgroup; ls /sys/fs/cgroup; mkdir /sys/fs/cgroup/memory/x 2>/dev/null; true")
            .with_mount(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                            "options": ["ro", "nosuid", "noexec", "nodev"] }))
            .change(|spec| {
                spec["linux"]["cgroupsPath"] = json!(name);
                spec["linux"]["resources"] = json!({ "pids": { "limit": 50 } });
            });
    let output = sandbox.output();
    let paths = output.lines().filter(|line| line.split(':').count() == 3);
    assert!(paths.filter(|line| line.contains("pids")).all(|line| line.ends_with(":/")), "{output}");
    assert!(output.contains("\nmemory") || output.contains("memory.stat"), "{output}");
}
