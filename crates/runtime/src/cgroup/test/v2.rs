//! cgroup v2: on made-up trees, and for real on the mount of a hybrid machine, which lacks controllers alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use oci_spec::runtime::LinuxDeviceCgroup;
use serde_json::json;

use super::super::device::{self, Rules};
use super::super::device_filter::{self, assemble};
use super::super::layout::{Controller, Layout, Source};
use super::super::limit::v2::{swap_alone, weight_of_blkio, weight_of_shares};
use super::super::{Cgroup, CgroupPath, Error, Result, Version, stat, support};
use super::{Parent, Process, resources};

struct Fake {
    directory: tempfile::TempDir,
    layout: Arc<Layout>,
}

fn detect(root: &Path, proc_cgroup: &str, mountinfo: String) -> Result<Layout> {
    Layout::detect(&Source {
        mount_root: root,
        proc_cgroup: proc_cgroup.to_owned(),
        mount_table: &|| Ok(mountinfo.clone()),
        check_magic: false,
    })
}

impl Fake {
    /// A v2 tree in which the container's directory would have these files.
    fn v2(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join("cgroup.controllers"), "cpuset cpu io memory hugetlb pids rdma").unwrap();
        fs::write(root.join("cgroup.subtree_control"), "").unwrap();
        fs::create_dir_all(root.join("p")).unwrap();
        fs::write(root.join("p/cgroup.subtree_control"), "cpuset cpu io memory pids hugetlb").unwrap();
        let layout = Arc::new(detect(root, "0::/x\n", String::new()).unwrap());
        let fake = Fake { directory, layout };
        fs::create_dir(fake.file("")).unwrap();
        for (name, text) in files {
            fs::write(fake.file(name), text).unwrap();
        }
        fake
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("p/c").join(name)
    }

    fn open(&self) -> Cgroup {
        Cgroup::open_in(self.layout.clone(), &CgroupPath::new("/p", "c").unwrap()).unwrap()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }
}

#[test]
fn layouts_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let nothing = detect(root, "", String::new()).unwrap_err();
    assert!(nothing.to_string().starts_with("no cgroup hierarchy is mounted"));

    for name in ["cpu,cpuacct", "memory", "systemd", "elsewhere"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    let proc_cgroup = "5:pids:/a\n4:memory:/user/x\n3:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n";
    let elsewhere = root.join("elsewhere");
    let mounts = format!("30 1 0:3 / {} rw,relatime shared:1 - cgroup cgroup rw,pids\n", elsewhere.display());
    let v1 = detect(root, proc_cgroup, mounts).unwrap();
    assert_eq!((v1.version, v1.hierarchies.len()), (Version::V1, 4));
    assert_eq!(v1.find(Controller::Pids).unwrap().mount, elsewhere);
    assert_eq!(v1.find(Controller::Cpu).unwrap().mount, v1.find(Controller::Cpuacct).unwrap().mount);
    assert!(v1.find(Controller::Devices).is_none());
    assert!(!support::probe(&v1).devices && support::probe(&v1).pids);

    fs::create_dir(root.join("unified")).unwrap();
    let hybrid = detect(root, proc_cgroup, String::new()).unwrap();
    assert_eq!((hybrid.version, hybrid.version.docker(), hybrid.hierarchies.len()), (Version::Hybrid, "1", 3));

    fs::write(root.join("cgroup.controllers"), "cpu memory").unwrap();
    let v2 = detect(root, proc_cgroup, String::new()).unwrap();
    assert_eq!((v2.version, v2.version.docker()), (Version::V2, "2"));
    let controllers = support::probe(&v2);
    assert!(controllers.memory && !controllers.pids && controllers.freezer && controllers.devices);
}

#[test]
fn v2_limits_are_converted() {
    let names = [
        "memory.max",
        "memory.swap.max",
        "memory.low",
        "cpu.weight",
        "cpu.max",
        "cpu.max.burst",
        "cpuset.cpus",
        "pids.max",
        "io.weight",
        "io.max",
        "hugetlb.2MB.max",
        "memory.high",
    ];
    let fake = Fake::v2(&names.map(|name| (name, "")));
    let limits = resources(json!({
        "memory": {"limit": 100, "swap": 300, "reservation": 50, "swappiness": 3, "disableOOMKiller": true},
        "cpu": {"shares": 1024, "quota": 20_000, "period": 50_000, "burst": 10, "cpus": "0-1"},
        "pids": {"limit": -1},
        "blockIO": {"weight": 1000, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 77}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 9}],
        "unified": {"memory.high": "90"},
        "devices": device::everything(),
    }));
    fake.open().apply(&limits, true).unwrap();
    for (name, text) in [
        ("memory.max", "100"),
        ("memory.swap.max", "200"),
        ("memory.low", "50"),
        ("cpu.weight", "100"),
        ("cpu.max", "20000 50000"),
        ("cpu.max.burst", "10"),
        ("cpuset.cpus", "0-1"),
        ("pids.max", "max"),
        ("io.weight", "10000"),
        ("io.max", "8:0 rbps=77"),
        ("hugetlb.2MB.max", "9"),
        ("memory.high", "90"),
    ] {
        assert_eq!(fake.text(name), text, "{name}");
    }
    fake.open().apply(&resources(json!({"memory": {"limit": -1}, "devices": device::everything()})), true).unwrap();
    assert_eq!((fake.text("memory.max").as_str(), fake.text("memory.swap.max").as_str()), ("max", "max"));
    let escape = resources(json!({"unified": {"../memory.max": "1"}, "devices": device::everything()}));
    assert!(matches!(fake.open().apply(&escape, true), Err(Error::InvalidUnified { .. })));
    assert_eq!((weight_of_shares(2), weight_of_shares(262_144), weight_of_blkio(10)), (1, 10_000, 1));
    assert_eq!((swap_alone(-1, 5), swap_alone(7, 5), swap_alone(5, 5)), (-1, 2, 0));
}

#[test]
fn v2_state_and_numbers_are_read() {
    let fake = Fake::v2(&[
        ("cpu.stat", "usage_usec 10\nuser_usec 6\nsystem_usec 4\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1\n"),
        ("memory.current", "4096\n"),
        ("memory.max", "max\n"),
        ("memory.peak", "8192\n"),
        ("memory.stat", "anon 1\ninactive_file 2\n"),
        ("memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 5\n"),
        ("pids.current", "2\n"),
        ("pids.max", "10\n"),
        ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n"),
        ("cgroup.events", "populated 0\nfrozen 1\n"),
        ("cgroup.freeze", ""),
        ("cgroup.kill", ""),
        ("cgroup.procs", ""),
    ]);
    let cgroup = fake.open();
    assert!(cgroup.directory_fd().is_some());
    let stats = cgroup.stats().unwrap();
    assert_eq!((stats.cpu.total_ns, stats.cpu.throttled_periods, stats.cpu.throttled_ns), (10_000, 2, 1000));
    assert_eq!((stats.memory.usage, stats.memory.limit, stats.memory.failures), (4096, None, 7));
    assert_eq!((stats.pids.limit, stats.memory.stats["inactive_file"]), (Some(10), 2));
    let entry = |op: &str, value| stat::BlockEntry { major: 8, minor: 0, op: op.to_owned(), value };
    assert_eq!(stats.block.service_bytes, [entry("read", 1), entry("write", 2)]);
    assert_eq!(cgroup.oom_kills().unwrap(), 5);
    assert!(cgroup.oom_watch().unwrap().is_some());
    cgroup.freeze().unwrap();
    assert_eq!(fake.text("cgroup.freeze"), "1");
    cgroup.kill_all().unwrap();
    assert_eq!(fake.text("cgroup.kill"), "1");
    cgroup.add(42).unwrap();
    assert_eq!(fake.text("cgroup.procs"), "42");
}

/// A hybrid machine's v2 mount has no controllers, but the core files, and device filters, are real.
#[test]
fn v2_for_real_where_it_is_mounted() {
    let place = PathBuf::from(format!("/sys/fs/cgroup/unified/berth-test-{}", std::process::id()));
    if Parent::new().is_none() || fs::create_dir(&place).is_err() {
        eprintln!("skipped: needs root and a hybrid machine");
        return;
    }
    let outcome = std::panic::catch_unwind(|| v2_for_real(&place));
    fs::remove_dir(place.join("p")).and_then(|()| fs::remove_dir(&place)).unwrap();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn v2_for_real(place: &Path) {
    let source =
        Source { mount_root: place, proc_cgroup: String::new(), mount_table: &|| Ok(String::new()), check_magic: true };
    let layout = Arc::new(Layout::detect(&source).unwrap());
    assert_eq!(layout.version, Version::V2);
    let path = CgroupPath::new("/p", "c").unwrap();
    let limits = resources(json!({"devices": device::defaults()}));
    let cgroup = Cgroup::create_in(layout.clone(), &path, Some(&limits)).unwrap();
    let denied = |script: &str| {
        let mut command = Command::new("sh");
        let script = format!("read go; (: </dev/null) && {script}");
        let mut probe =
            Process(command.args(["-c", &script]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        cgroup.add(probe.pid()).unwrap();
        drop(probe.0.stdin.take());
        assert!(probe.0.wait().unwrap().success(), "{script}");
    };
    denied("! (: </dev/kmsg)");
    cgroup.update(&resources(json!({"devices": device::everything()}))).unwrap();
    denied("(: </dev/kmsg)");
    let memory = resources(json!({"memory": {"limit": 1 << 20}}));
    let refused = cgroup.update(&memory).unwrap_err();
    assert!(matches!(refused, Error::MissingController { controller: "memory", .. }), "{refused}");

    let mut process = Process::sleeping();
    cgroup.add(process.pid()).unwrap();
    assert_eq!(cgroup.pids().unwrap(), [process.pid()]);
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.thaw().unwrap();
    assert!(cgroup.stats().unwrap().is_v2 && cgroup.oom_watch().unwrap().is_none());
    cgroup.kill_all().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&process.0.wait().unwrap()), Some(libc::SIGKILL));
    cgroup.remove().unwrap();
}

/// Where v2 is the machine's layout, with its controllers.
#[test]
fn v2_with_controllers_for_real() {
    if !Layout::get().is_ok_and(|layout| layout.is_v2()) || !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root and cgroup v2");
        return;
    }
    let parent = format!("/berth-test-{}", std::process::id());
    let path = CgroupPath::new(&parent, "c").unwrap();
    let outcome = std::panic::catch_unwind(|| with_controllers(&path));
    Cgroup::open(&path).and_then(|left| left.kill_all().and_then(|()| left.remove())).ok();
    fs::remove_dir(format!("/sys/fs/cgroup{parent}")).unwrap();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn with_controllers(path: &CgroupPath) {
    let limits = resources(json!({
        "memory": {"limit": 8 << 20, "swap": 8 << 20, "reservation": 4 << 20},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0"},
        "pids": {"limit": 33},
        "unified": {"memory.high": "max"},
    }));
    let cgroup = Cgroup::create(path, Some(&limits)).unwrap();
    let read = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup{path}/{name}")).unwrap().trim().to_owned();
    let expected = [("memory.max", "8388608"), ("cpu.max", "50000 100000"), ("cpu.weight", "59"), ("pids.max", "33")];
    for (name, value) in expected {
        assert_eq!(read(name), value, "{name}");
    }
    let watch = cgroup.oom_watch().unwrap().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "read go; x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"]);
    let mut greedy = Process(command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    cgroup.add(greedy.pid()).unwrap();
    let stats = cgroup.stats().unwrap();
    assert_eq!((stats.pids.current, stats.pids.limit, stats.memory.limit), (1, Some(33), Some(8 << 20)));
    assert!(stats.memory.stats.contains_key("inactive_file"));
    drop(greedy.0.stdin.take());
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&greedy.0.wait().unwrap()), Some(libc::SIGKILL));
    let mut polled = [rustix::event::PollFd::new(&watch, rustix::event::PollFlags::IN)];
    let patience = rustix::event::Timespec { tv_sec: 2, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut polled, Some(&patience)).unwrap(), 1);
    assert_eq!(cgroup.oom_kills().unwrap(), 1);

    cgroup.update(&resources(json!({"memory": {"limit": -1}, "cpu": {"quota": -1}}))).unwrap();
    assert_eq!((read("memory.max").as_str(), read("cpu.max").as_str()), ("max", "max 100000"));

    // A container that runs an init system hands controllers down; then its own group takes no process.
    let inner = format!("/sys/fs/cgroup{path}/init.scope");
    fs::create_dir(&inner).unwrap();
    let (first, second) = (Process::sleeping(), Process::sleeping());
    fs::write(format!("{inner}/cgroup.procs"), first.pid().to_string()).unwrap();
    fs::write(format!("/sys/fs/cgroup{path}/cgroup.subtree_control"), "+memory").unwrap();
    cgroup.add(second.pid()).unwrap();
    assert_eq!(cgroup.pids().unwrap().len(), 2);
    cgroup.kill_all().unwrap();
    cgroup.remove().unwrap();
    assert!(Cgroup::open(path).is_err());
}

#[test]
fn v2_controllers_are_handed_down_from_the_root() {
    let fake = Fake::v2(&[]);
    fs::remove_dir(fake.file("")).unwrap();
    fs::write(fake.directory.path().join("p/cgroup.subtree_control"), "").unwrap();
    let path = CgroupPath::new("/p", "c").unwrap();
    Cgroup::create_in(fake.layout.clone(), &path, None).unwrap();
    for place in ["", "p/"] {
        let text = fs::read_to_string(fake.directory.path().join(format!("{place}cgroup.subtree_control"))).unwrap();
        assert_eq!(text, "+cpu +cpuset +io +memory +pids +hugetlb");
    }
}

#[test]
fn rules_reduce_to_a_default_and_exceptions() {
    let rules = |value| Rules::of_container(&serde_json::from_value::<Vec<LinuxDeviceCgroup>>(value).unwrap());
    assert!(rules(json!([{"allow": true, "access": "rwm"}])).allows_everything());
    let closed = Rules::of_container(&[]);
    assert_eq!(closed, Rules::of_container(&device::defaults()));
    assert!(!closed.default_allow && closed.exceptions.len() == 11);
    let opened = rules(json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "rw"},
        {"allow": false, "type": "b", "major": 8, "minor": 0, "access": "w"},
        {"allow": true, "type": "c", "major": -1, "minor": -1, "access": "m"},
    ]));
    assert_eq!(opened.exceptions[0].to_string(), "b 8:0 r");
    let except = rules(json!([{"allow": true, "access": "rwm"}, {"allow": false, "major": 8, "access": "w"}]));
    assert!(except.default_allow);
    let lines: Vec<String> = except.exceptions.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["b 8:* w", "c 8:* w"]);
}

/// Runs the filter as the kernel would, for one request.
fn run(rules: &Rules, class: u32, access: u32, major: u32, minor: u32) -> bool {
    let context = [access << 16 | class, major, minor];
    let mut registers = [0_u64; 6];
    let program = assemble(rules);
    let mut at = 0;
    loop {
        let i = program[at];
        let (target, source) = (usize::from(i.target), usize::from(i.source));
        at += 1;
        let jump = match i.code {
            0x61 => {
                registers[target] = u64::from(context[i.offset as usize / 4]);
                false
            }
            0x54 => {
                registers[target] = u64::from(registers[target] as u32 & i.immediate as u32);
                false
            }
            0x74 => {
                registers[target] = u64::from(registers[target] as u32 >> i.immediate);
                false
            }
            0xbc => {
                registers[target] = u64::from(registers[source] as u32);
                false
            }
            0xb7 => {
                registers[target] = i.immediate as u64;
                false
            }
            0x15 => registers[target] == i.immediate as u64,
            0x56 => registers[target] as u32 != i.immediate as u32,
            0x5d => registers[target] != registers[source],
            0x95 => return registers[0] == 1,
            code => panic!("unknown instruction {code:#x}"),
        };
        if jump {
            at += usize::try_from(i.offset).expect("forward only");
        }
    }
}

#[test]
fn the_device_filter_decides_as_the_rules_say() {
    let (block, character) = (1, 2);
    let rules = Rules::of_container(
        &serde_json::from_value::<Vec<LinuxDeviceCgroup>>(json!([
            {"allow": true, "type": "b", "major": 8, "minor": 1, "access": "r"},
            {"allow": true, "type": "c", "major": 4_000_000_000_u32, "access": "rwm"},
        ]))
        .unwrap(),
    );
    assert!(run(&rules, character, 2, 1, 3) && run(&rules, character, 7, 1, 3));
    assert!(run(&rules, character, 1, 99, 99) && !run(&rules, character, 3, 99, 99));
    assert!(run(&rules, block, 2, 8, 1) && !run(&rules, block, 4, 8, 1) && !run(&rules, block, 6, 8, 1));
    assert!(!run(&rules, character, 2, 8, 1) && !run(&rules, block, 2, 8, 2));
    assert!(run(&rules, character, 6, 4_000_000_000, 5));
    let except = Rules::of_container(
        &serde_json::from_value::<Vec<LinuxDeviceCgroup>>(
            json!([{"allow": true, "access": "rwm"}, {"allow": false, "type": "c", "major": 10, "access": "w"}]),
        )
        .unwrap(),
    );
    assert!(run(&except, character, 2, 10, 1) && !run(&except, character, 6, 10, 1) && run(&except, block, 4, 10, 1));
    // Without a file system to attach it to, the kernel's verifier still has its say.
    match device_filter::load(&except).and_then(|_| device_filter::load(&rules)) {
        Ok(_) => {}
        Err(e) if matches!(e.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) => {
            eprintln!("skipped: this kernel loads no device filter: {e}");
        }
        Err(e) => panic!("{e}"),
    }
}
