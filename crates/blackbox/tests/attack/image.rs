//! What an image says about itself: places of volumes, labels, accounts.

use std::time::{Duration, Instant};

use berth_blackbox::busybox;
use serde_json::json;

use crate::arena::{Verdict, attack, breached_if, rootfs};
use crate::canary::SECRET;
use crate::held;

#[test]
fn cve_2022_23648_volume_outside_of_the_image() {
    attack(&["copy-up-beneath"], |arena| {
        let mut engine = arena.engine();
        let place = format!("/../../../../../..{}", arena.canary.text());
        engine.import("attacker:latest", &rootfs(|_| {}), &["ENV PATH=/bin", &format!("VOLUME [\"{place}\"]")]);
        engine.forget_traces();
        let script = format!("cat {}/secret", arena.canary.text());
        let (_, text) = engine.run_to_end(&["sh", "-c", &script], json!({"Image": "attacker"}));
        held!(breached_if(text.contains(SECRET), "the volume was filled from the host"));
        // A configuration of another builder's need not be clean either.
        let settings = json!({"Image": "busybox", "Volumes": {place: {}}});
        let (_, text) = engine.run_to_end(&["sh", "-c", &script], settings);
        breached_if(text.contains(SECRET), "the volume was filled from the host")
    });
}

#[test]
fn cve_2026_53488_labels_that_act_as_control() {
    attack(&["labels-are-data"], |arena| {
        let mut engine = arena.engine();
        let marker = arena.canary.path().join("executed");
        let logger = format!("containerd.io/restart.loguri=binary:///bin/touch?{}=", marker.display());
        // tidy: table
        let labels = [
            "io.berth.time-offset.boottime=1000000h",
            "io.berth.runtime=io.berth.vm",
            "io.berth.privileged=true",
            "com.docker.privileged=true",
            "containerd.io/restart.status=running",
            "containerd.io/restart.policy=always",
            "io.kubernetes.cri.container-type=sandbox",
            "run.oci.keep_original_groups=1",
            "org.systemd.property.ExecStart=/bin/false",
            &logger,
        ];
        let changes: Vec<String> = labels.iter().map(|label| format!("LABEL {label}")).collect();
        let changes: Vec<&str> = std::iter::once("ENV PATH=/bin").chain(changes.iter().map(String::as_str)).collect();
        engine.import("attacker:latest", &rootfs(|_| {}), &changes);
        engine.forget_traces();
        let id = engine.run("", &["sh", "-c", "cut -d. -f1 /proc/uptime"], json!({"Image": "attacker"}));
        assert_eq!(engine.wait(&id), 0);
        let uptime_s: u64 = engine.logs(&id).0.trim().parse().expect("a number");
        held!(breached_if(uptime_s > 900_000 * 3600, format!("a label has set the clock: up for {uptime_s} s")));
        let (labelled, host) = (engine.inspect(&id), "HostConfig");
        let plain = engine.create("", &["true"], json!({}));
        let plain = engine.inspect(&plain);
        assert!(labelled["Config"]["Labels"]["io.berth.privileged"] == "true", "the labels are there");
        for key in ["Privileged", "Runtime", "RestartPolicy", "LogConfig", "Annotations", "SecurityOpt", "CapAdd"] {
            let (one, other) = (&labelled[host][key], &plain[host][key]);
            held!(breached_if(one != other, format!("a label has changed {key}: {one}")));
        }
        breached_if(marker.exists(), "a label has run a program on the host")
    });
}

#[test]
fn cve_2024_9676_accounts_in_a_link_or_a_pipe() {
    attack(&["user-files"], |arena| {
        let mut engine = arena.engine();
        let target = arena.canary.path().join("passwd").display().to_string();
        for target in [target.clone(), format!("../../../../../../../..{target}")] {
            let image = rootfs(|archive| busybox::link(archive, "etc/passwd", &target));
            engine.import("attacker:latest", &image, &["ENV PATH=/bin"]);
            engine.forget_traces();
            let settings = json!({"Image": "attacker", "User": "victim"});
            let id = engine.create("", &["id", "-u"], settings);
            let answer = engine.http().post(&format!("/containers/{id}/start"));
            let started = answer.status == 204;
            let said = if started { engine.wait(&id).to_string() + &engine.logs(&id).0 } else { answer.message() };
            engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
            held!(breached_if(started, format!("an account of the host's was found: {said}")));
        }
        Verdict::Held
    });
}

#[test]
fn cve_2024_9676_accounts_in_a_pipe() {
    attack(&["user-files"], |arena| {
        let bundle = arena.bundle("echo running");
        for file in ["etc/passwd", "etc/group"] {
            std::fs::remove_file(bundle.inside(file)).expect("the file");
            let mode = rustix::fs::Mode::from_raw_mode(0o644);
            rustix::fs::mknodat(rustix::fs::CWD, bundle.inside(file), rustix::fs::FileType::Fifo, mode, 0)
                .expect("a pipe");
        }
        bundle.store();
        let folder = bundle.path("").display().to_string();
        let mut call = bundle.command(&["run", "--bundle", &folder, &bundle.id()]);
        let mut child = call.stdout(std::process::Stdio::null()).spawn().expect("it starts");
        let begun = Instant::now();
        let waits = loop {
            match child.try_wait().expect("waiting") {
                Some(_) => break false,
                None if begun.elapsed() > Duration::from_secs(5) => break true,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        // Whoever waits for a writer has waited long enough: one comes and goes until it is content.
        while child.try_wait().expect("waiting").is_none() {
            for file in ["etc/passwd", "etc/group"] {
                let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
                let _ = rustix::fs::open(bundle.inside(file), flags, rustix::fs::Mode::empty());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        breached_if(waits, "the runtime waits for somebody to write accounts")
    });
}
