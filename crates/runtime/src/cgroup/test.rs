//! Real v1 hierarchies, below a parent of the test's own that is always removed.

mod v2;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};
use serde_json::json;

use super::device;
use super::*;

/// A parent that is removed whatever the test does.
struct Parent(String);

impl Parent {
    /// `None`, having said why, where no v1 hierarchy can be written.
    fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let Ok(layout) = Layout::get() else {
            eprintln!("skipped: no cgroup hierarchy is mounted");
            return None;
        };
        if layout.is_v2() || !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root and cgroup v1");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Some(Parent(format!("/berth-test-{}-{number}", std::process::id())))
    }

    fn path(&self, name: &str) -> CgroupPath {
        CgroupPath::new(&self.0, name).unwrap()
    }

    fn read(&self, controller: &str, file: &str) -> String {
        let path = format!("/sys/fs/cgroup/{controller}{}/c/{file}", self.0);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}")).trim().to_owned()
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let Ok(all) = CgroupPath::parse(&self.0).and_then(|path| Cgroup::open(&path)) else { return };
        let gone = all.kill_all().and_then(|()| all.remove());
        if !std::thread::panicking() {
            gone.unwrap();
        }
    }
}

/// A child that is killed and reaped with the test.
struct Process(Child);

impl Process {
    fn sleeping() -> Self {
        Process(Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    fn reap(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.reap();
    }
}

fn resources(value: serde_json::Value) -> LinuxResources {
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_path_stays_below_its_mount() {
    let path = CgroupPath::new("berth//a/", "id").unwrap();
    assert_eq!((path.to_string().as_str(), path.parent(), path.name()), ("/berth/a/id", "/berth/a", "id"));
    assert_eq!(CgroupPath::parse("/one").unwrap().to_string(), "/one");
    assert_eq!(CgroupPath::new("", "x").unwrap().relative(), "x");
    for (parent, name) in [("/a/../b", "x"), ("/a", ".."), ("/a", ""), ("/a", "b/c"), ("/a", "b\n")] {
        assert!(CgroupPath::new(parent, name).is_err(), "{parent} {name}");
    }
}

#[test]
fn every_limit_reaches_its_file() {
    let Some(parent) = Parent::new() else { return };
    let limits = resources(json!({
        "memory": {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20, "swappiness": 10,
                   "disableOOMKiller": true, "kernel": 1 << 20},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 33},
        "devices": device::defaults(),
    }));
    let cgroup = Cgroup::create(&parent.path("c"), Some(&limits)).unwrap();
    for (controller, file, value) in [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.memsw.limit_in_bytes", "134217728"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("memory", "memory.swappiness", "10"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "50000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("pids", "pids.max", "33"),
    ] {
        assert_eq!(parent.read(controller, file), value, "{file}");
    }
    assert!(parent.read("memory", "memory.oom_control").contains("oom_kill_disable 1"));
    let devices = parent.read("devices", "devices.list");
    assert!(devices.contains("c 1:3 rwm") && devices.contains("b *:* m") && !devices.contains("a *:*"), "{devices}");

    // Both directions, each of which the kernel refuses in the other order.
    for (limit, swap) in [(512_i64 << 20, 1_i64 << 30), (16 << 20, 16 << 20), (-1, -1)] {
        cgroup.update(&resources(json!({"memory": {"limit": limit, "swap": swap}}))).unwrap();
    }
    assert_eq!(cgroup.stats().unwrap().memory.limit, None);
    cgroup.update(&resources(json!({"pids": {"limit": -1}, "cpu": {"quota": -1}}))).unwrap();
    assert_eq!(parent.read("pids", "pids.max"), "max");
    assert_eq!(parent.read("memory", "memory.memsw.limit_in_bytes").len(), 19);
    cgroup.remove().unwrap();
    assert!(!Path::new(&format!("/sys/fs/cgroup/pids{}/c", parent.0)).exists());
    let gone = Cgroup::open(&parent.path("c")).unwrap_err();
    assert_eq!(berth_kit::Kinded::kind(&gone), berth_kit::Kind::NotFound);
}

#[test]
fn a_refused_limit_leaves_nothing() {
    let Some(parent) = Parent::new() else { return };
    let limits = resources(json!({"cpu": {"cpus": "4000"}}));
    let refused = Cgroup::create(&parent.path("c"), Some(&limits)).unwrap_err();
    assert!(refused.to_string().contains("cpuset.cpus"), "{refused}");
    assert!(!Path::new(&format!("/sys/fs/cgroup/memory{}/c", parent.0)).exists());
    let huge = resources(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}));
    if !available().hugetlb {
        let refused = Cgroup::create(&parent.path("c"), Some(&huge)).unwrap_err();
        assert!(refused.to_string().starts_with("a huge page limit needs the cgroup controller"), "{refused}");
    }
    let unified = resources(json!({"unified": {"memory.high": "1"}}));
    assert!(matches!(Cgroup::create(&parent.path("c"), Some(&unified)), Err(Error::UnifiedOnV1)));
}

#[test]
fn processes_join_are_counted_frozen_and_killed() {
    let Some(parent) = Parent::new() else { return };
    let cgroup = Cgroup::create(&parent.path("c"), None).unwrap();
    let (mut one, mut two) = (Process::sleeping(), Process::sleeping());
    cgroup.add(one.pid()).unwrap();
    cgroup.add(two.pid()).unwrap();
    let seen = fs::read_to_string(format!("/proc/{}/cgroup", one.pid())).unwrap();
    let inside = seen.lines().filter(|line| line.ends_with(&format!("{}/c", parent.0))).count();
    assert_eq!(inside, cgroup.layout.hierarchies.len(), "{seen}");

    let mut expected = vec![one.pid(), two.pid()];
    expected.sort_unstable();
    assert_eq!(cgroup.pids().unwrap(), expected);
    let stats = cgroup.stats().unwrap();
    assert_eq!(stats.pids.current, 2);
    assert!(stats.memory.stats.contains_key("total_inactive_file") && !stats.cpu.per_cpu_ns.is_empty());

    assert!(matches!(Cgroup::create(&parent.path("c"), None), Err(Error::InUse { count: 2, .. })));
    assert!(!cgroup.is_frozen().unwrap());
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());

    // Also from the paused state.
    cgroup.freeze().unwrap();
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| cgroup.kill_all());
        let _ = (one.0.wait(), two.0.wait());
        killer.join().unwrap().unwrap();
    });
    assert!(cgroup.pids().unwrap().is_empty());
    cgroup.remove().unwrap();
    cgroup.remove().unwrap();
}

#[test]
fn sub_cgroups_of_the_container_are_seen_and_removed() {
    let Some(parent) = Parent::new() else { return };
    let cgroup = Cgroup::create(&parent.path("c"), None).unwrap();
    let own = format!("/sys/fs/cgroup/pids{}/c/a/b", parent.0);
    fs::create_dir_all(&own).unwrap();
    let mut process = Process::sleeping();
    fs::write(format!("{own}/cgroup.procs"), process.pid().to_string()).unwrap();
    assert_eq!(cgroup.pids().unwrap(), [process.pid()]);
    let busy = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(30));
            process.reap();
        });
        cgroup.remove().unwrap();
    });
    assert!(busy.elapsed() >= Duration::from_millis(25));
    assert!(!Path::new(&own).exists());
}

#[test]
fn an_oom_kill_is_counted_and_announced() {
    let Some(parent) = Parent::new() else { return };
    let limits = resources(json!({"memory": {"limit": 8 << 20, "swap": 8 << 20}}));
    let cgroup = Cgroup::create(&parent.path("c"), Some(&limits)).unwrap();
    let watch = cgroup.oom_watch().unwrap().unwrap();
    assert_eq!(cgroup.oom_kills().unwrap(), 0);
    // The shell waits until it has been moved, then grows without end.
    let mut command = Command::new("sh");
    command.args(["-c", "read go; x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"]);
    let mut greedy = Process(command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    cgroup.add(greedy.pid()).unwrap();
    drop(greedy.0.stdin.take());
    let status = greedy.0.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
    let mut polled = [rustix::event::PollFd::new(&watch, rustix::event::PollFlags::IN)];
    let patience = rustix::event::Timespec { tv_sec: 2, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut polled, Some(&patience)).unwrap(), 1);
    assert_eq!(cgroup.oom_kills().unwrap(), 1);
    cgroup.remove().unwrap();
}

#[test]
fn a_denied_device_cannot_be_opened() {
    let Some(parent) = Parent::new() else { return };
    let mut rules = device::defaults();
    let fuse: LinuxDeviceCgroup =
        serde_json::from_value(json!({"allow": true, "type": "c", "major": 10, "minor": 200, "access": "r"})).unwrap();
    rules.push(fuse);
    let list = json!({"devices": rules});
    let cgroup = Cgroup::create(&parent.path("c"), Some(&resources(list))).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "read go; (: </dev/null) && (: </dev/zero) && ! (: </dev/kmsg)"]);
    let mut probe = Process(command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    cgroup.add(probe.pid()).unwrap();
    drop(probe.0.stdin.take());
    assert!(probe.0.wait().unwrap().success());
    assert!(parent.read("devices", "devices.list").lines().any(|line| line == "c 10:200 r"));
    cgroup.update(&resources(json!({"devices": device::everything()}))).unwrap();
    assert_eq!(parent.read("devices", "devices.list"), "a *:* rwm");
}

#[test]
fn this_machine_is_described() {
    if Parent::new().is_none() {
        return;
    }
    let controllers = available();
    assert!(controllers.memory && controllers.pids && controllers.freezer && controllers.devices);
    assert!(controllers.warnings().iter().all(|warning| warning.starts_with("WARNING: No ")));
}

/// Not a check but a measurement: `cargo test -p berth-runtime cgroup::test::cost -- --ignored --nocapture`.
#[test]
#[ignore = "prints times"]
fn cost() {
    let Some(parent) = Parent::new() else { return };
    let limits = resources(json!({"memory": {"limit": 64 << 20}, "devices": device::defaults()}));
    Cgroup::create(&parent.path("first"), None).unwrap().remove().unwrap();
    let mut times = [const { Vec::new() }; 4];
    for round in 0..100 {
        let mut process = Process::sleeping();
        let begin = Instant::now();
        let cgroup = Cgroup::create(&parent.path(&round.to_string()), Some(&limits)).unwrap();
        times[0].push(begin.elapsed());
        let begin = Instant::now();
        cgroup.add(process.pid()).unwrap();
        times[1].push(begin.elapsed());
        let begin = Instant::now();
        cgroup.stats().unwrap();
        times[2].push(begin.elapsed());
        process.reap();
        let begin = Instant::now();
        cgroup.remove().unwrap();
        times[3].push(begin.elapsed());
    }
    for (name, list) in ["create", "add", "stats", "remove"].iter().zip(&mut times) {
        list.sort_unstable();
        println!("{name}: median {:?}, worst {:?}", list[50], list[99]);
    }
}
