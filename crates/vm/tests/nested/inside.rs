//! What is tried inside of the outer machine: boots by both entries, a container, disk and network, snapshot and restore.

use std::{
    fs,
    io::Read as _,
    net::Ipv4Addr,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    process::Command,
    time::Instant,
};

use berth_sys::interface;
use berth_vm::message::{Answer, Create, Interface, Request, Setup, Upper};
use serde_json::json;

use super::{
    DONE, REPORT, beside,
    machine::{MAC, Machine, Shape},
};

pub(super) const TAP: &str = "tap0";
const HOST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// What the container does: more than is cached is written, flushed and read again.
const SCRIPT: &str = "B=/bin/busybox
echo container on $($B nproc) processors
$B dd if=/dev/urandom of=/file bs=64k count=160 2>/dev/null; $B sync
S=$($B sha256sum /file); echo 3 > /proc/sys/vm/drop_caches
[ \"$S\" = \"$($B sha256sum /file)\" ] && echo kept
exit 42";

pub fn main() {
    assert!(Path::new("/dev/kvm").exists(), "no KVM here");
    println!("{REPORT} probe: {}", berth_vm::doctor::probe().sentence());
    make_image();
    fs::create_dir("/run/snapshots").expect("directory for snapshots");
    boots_and_runs_a_container();
    boots_in_64_bit_mode();
    goes_on_from_a_snapshot();
    beside::measure();
    println!("{DONE}");
}

fn make_image() {
    let directory = fs::File::open("/image").expect("image");
    let mut file = fs::File::create("/run/root.img").expect("file");
    berth_erofs::write_merged(&mut file, &[directory.as_fd()]).expect("image");
}

fn boots_and_runs_a_container() {
    let disk = Path::new("/run/upper.img");
    berth_vm::ext4::make(disk, 64 << 20, [7; 16], 0).expect("disk");
    make_tap();
    let started = Instant::now();
    let shape = Shape { vcpus: 2, entry: "pvh", disk: Some(disk), tap: Some(TAP), restore: None };
    let mut machine = Machine::start(Path::new("/run/cold"), shape);
    machine.ask(Request::Sync);
    println!("{REPORT} cold boot, 2 processors, PVH: {} ms to the agent's answer", started.elapsed().as_millis());
    let status = machine.control(&json!({"do": "status"}));
    println!("{REPORT} exits of the boot: {} ports, {} registers", status["port_exits"], status["register_exits"]);
    machine.ask(Request::Setup(Box::new(setup())));
    ping();
    let output = run(&mut machine, SCRIPT);
    assert_eq!(machine.exit_code(), Some(42));
    let (pss, anonymous) = machine.own_memory_kib();
    println!("{REPORT} the monitor's own memory: {pss} KiB PSS, {anonymous} KiB of it anonymous");
    assert_eq!(machine.end(), 0);
    let mut said = String::new();
    fs::File::from(output).read_to_string(&mut said).expect("output");
    println!("{REPORT} it said: {}", said.trim().replace('\n', ", "));
    assert_eq!(said, "container on 2 processors\nkept\n");
}

/// Starts a container that runs `script`; where its output comes.
pub(super) fn run(machine: &mut Machine, script: &str) -> OwnedFd {
    let spec = json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {
            "user": {"uid": 0, "gid": 0}, "cwd": "/", "env": ["PATH=/bin"],
            "args": ["/bin/busybox", "sh", "-c", script],
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
        ],
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}]},
    });
    let spec = serde_json::from_value(spec).expect("spec");
    let output = machine.output();
    let create = Create { spec, init: false, groups: Vec::new(), terminal: None };
    assert!(matches!(machine.ask(Request::Create(Box::new(create))), Answer::Started { .. }));
    machine.ask(Request::Release);
    output
}

pub(super) fn setup() -> Setup {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let interface = Interface {
        name: "eth0".to_owned(),
        mac: MAC,
        mtu: 0,
        addresses: vec![(GUEST.into(), 24)],
        gateways: vec![HOST.into()],
        jail: None,
    };
    Setup {
        now_ns: i64::try_from(since.as_nanos()).expect("before 2262"),
        upper: Upper::Disk,
        host_name: "inner".to_owned(),
        interfaces: vec![interface],
        ..Setup::default()
    }
}

fn make_tap() {
    interface::make_tap(TAP, 0).expect("tap");
    interface::add_address(TAP, HOST.into(), 24).expect("address");
    interface::up(TAP).expect("up");
}

/// The guest answers over its network device.
fn ping() {
    let output = Command::new("/bin/busybox").args(["ping", "-c", "3", "-W", "20", &GUEST.to_string()]).output();
    let said = output.expect("ping").stdout;
    let said = String::from_utf8_lossy(&said);
    println!("{REPORT} network: {}", said.lines().last().unwrap_or_default());
    assert!(said.contains(" 0% packet loss"), "{said}");
}

fn boots_in_64_bit_mode() {
    let started = Instant::now();
    let shape = Shape { vcpus: 1, entry: "long", ..Shape::default() };
    let mut machine = Machine::start(Path::new("/run/long"), shape);
    machine.ask(Request::Sync);
    println!("{REPORT} cold boot, 1 processor, 64-bit: {} ms to the agent's answer", started.elapsed().as_millis());
    assert_eq!(machine.end(), 0);
}

fn goes_on_from_a_snapshot() {
    let snapshot = Path::new("/run/snapshots/warm");
    let shape = Shape { vcpus: 2, entry: "auto", ..Shape::default() };
    let mut machine = Machine::start(Path::new("/run/warm"), shape);
    machine.ask(Request::Sync);
    let started = Instant::now();
    let status = machine.control(&json!({"do": "snapshot", "directory": snapshot}));
    println!("{REPORT} snapshot written in {} ms", started.elapsed().as_millis());
    assert_eq!(status["phase"], "paused");
    assert_eq!(machine.end(), 0);
    for round in 0..2 {
        let started = Instant::now();
        let home = format!("/run/restored{round}");
        let mut machine = Machine::start(Path::new(&home), Shape { restore: Some(snapshot), ..shape });
        let called = started.elapsed().as_millis();
        machine.ask(Request::Sync);
        let answered = started.elapsed().as_millis();
        println!("{REPORT} restored: the monitor called after {called} ms, the agent answered after {answered} ms");
        assert_eq!(machine.control(&json!({"do": "status"}))["restored"], "/run/snapshots/warm");
        assert_eq!(machine.end(), 0);
    }
}
