//! Both monitors measured in one run: the same kernel, initramfs, accelerator and devices.

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use berth_vm::message::Request;

use super::{
    REPORT,
    inside::{TAP, run, setup},
    machine::{Machine, Shape},
};

/// Runs of each, in turns.
const ROUNDS: usize = 3;
/// The host sends so much.
const SENT_MIB: u64 = 16;
const SCRIPT: &str = "B=/bin/busybox
echo write $($B dd if=/dev/zero of=/file bs=1M count=48 conv=fsync 2>&1 | $B tail -n 1)
echo 3 > /proc/sys/vm/drop_caches
echo read $($B dd if=/file of=/dev/null bs=1M 2>&1 | $B tail -n 1)
$B nc 10.9.0.1 5000 </dev/null | $B wc -c";

pub fn measure() {
    if !Path::new("/usr/bin/qemu-system-x86_64").exists() {
        return;
    }
    for round in 0..ROUNDS {
        for name in ["berth vmm", "QEMU microvm"] {
            let disk = format!("/run/beside-{}{round}.img", &name[..1]);
            berth_vm::ext4::make(Path::new(&disk), 160 << 20, [9; 16], 0).expect("disk");
            let shape =
                Shape { vcpus: 1, entry: "pvh", disk: Some(Path::new(&disk)), tap: Some(TAP), ..Shape::default() };
            let home = format!("/run/beside-{}{round}", &name[..1]);
            let started = Instant::now();
            let mut machine = match name {
                "berth vmm" => Machine::start(Path::new(&home), shape),
                _ => Machine::start_on_qemu(Path::new(&home), shape),
            };
            machine.ask(Request::Sync);
            let booted = started.elapsed().as_millis();
            let (pss, anonymous) = machine.own_memory_kib();
            println!("{REPORT} {name}: {booted} ms to the answer; {pss} KiB PSS, {anonymous} KiB anonymous");
            machine.ask(Request::Setup(Box::new(setup())));
            println!("{REPORT} {name}: {}", throughput(&mut machine));
            machine.kill();
            fs::remove_file(&disk).expect("disk");
        }
    }
}

fn throughput(machine: &mut Machine) -> String {
    let source = format!("/bin/busybox dd if=/dev/zero bs=1M count={SENT_MIB} | /bin/busybox nc -l -p 5000");
    let mut sender =
        Command::new("/bin/busybox").args(["sh", "-c", &source]).stderr(Stdio::null()).spawn().expect("nc");
    let started = Instant::now();
    let output = run(machine, SCRIPT);
    assert_eq!(machine.exit_code(), Some(0));
    let mut said = String::new();
    fs::File::from(output).read_to_string(&mut said).expect("output");
    sender.wait().expect("nc");
    format!("{} in {} ms in all", said.trim().replace('\n', "; "), started.elapsed().as_millis())
}
