//! How long it takes. Numbers are printed, not judged: they belong to the machine.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use berth_runtime::{Stdio, create, exec};
use oci_spec::runtime::Process;
use serde_json::json;

use crate::Test;
use crate::sandbox::{Sandbox, kill, wait};

pub const TESTS: &[Test] = &[("speed::of_create_and_exec", of_create_and_exec)];

const ROUNDS: usize = 40;

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

fn of_create_and_exec() {
    let name = format!("/berth-test/speed-{}", std::process::id());
    let plain = Sandbox::with_arguments(&["/bin/true"]);
    let grouped = Sandbox::with_arguments(&["/bin/true"]).change(|spec| {
        spec["linux"]["cgroupsPath"] = json!(name);
        spec["mounts"].as_array_mut().expect("mounts").push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup",
            "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"] }));
    });
    // Some costs of the kernel are only paid after a rest, others only in a row.
    let (row, rest) = (Duration::ZERO, Duration::from_millis(30));
    for (what, sandbox, pause) in [
        ("in a row, without cgroups", &plain, row),
        ("in a row, with cgroups", &grouped, row),
        ("after a rest, without cgroups", &plain, rest),
        ("after a rest, with cgroups", &grouped, rest),
    ] {
        let null = std::fs::File::open("/dev/null").expect("open");
        let stdio = Stdio::Streams { stdin: null.as_fd(), stdout: null.as_fd(), stderr: null.as_fd() };
        let (mut made, mut released, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            std::thread::sleep(pause);
            let start = Instant::now();
            let created = create(&sandbox.bundle, stdio).expect("create");
            made.push(start.elapsed());
            created.release().expect("release");
            released.push(start.elapsed());
            wait(&created.container.pidfd);
            ended.push(start.elapsed());
            if let Some(cgroup) = &created.container.cgroup {
                cgroup.remove().expect("remove");
            }
        }
        let (made, released, ended) = (median(made), median(released), median(ended));
        println!("{what}: created {made:.2} ms, running {released:.2} ms, ended {ended:.2} ms");
    }
    let sleeper = Sandbox::with_arguments(&["/bin/sleep", "60"]);
    let (created, _reader) = sleeper.start().expect("start");
    let process: Process =
        serde_json::from_value(json!({ "user": { "uid": 0, "gid": 0 }, "args": ["/bin/true"], "cwd": "/" }))
            .expect("process");
    let null = std::fs::File::open("/dev/null").expect("open");
    let stdio = Stdio::Streams { stdin: null.as_fd(), stdout: null.as_fd(), stderr: null.as_fd() };
    let (mut running, mut ended) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let executed = exec(&created.container, &process, stdio).expect("exec");
        running.push(start.elapsed());
        wait(&executed.pidfd);
        ended.push(start.elapsed());
    }
    kill(&created.container);
    println!("exec: running {:.2} ms, ended {:.2} ms", median(running), median(ended));
}
