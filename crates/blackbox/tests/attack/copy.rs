//! Copies into and out of containers, and exports, while a process in the container changes what is on the way.

use berth_blackbox::{Engine, busybox, eventually};
use serde_json::{Value, json};

use crate::arena::{Verdict, attack, breached_if, is_full, rootfs};
use crate::canary::SECRET;
use crate::held;

/// What lies inside of the container, as the host's secret lies outside.
const INSIDE: &str = "inside";

/// A container that exchanges `/tmp/place`, a folder, and `/tmp/link`, a link to the canary, as fast as it can.
fn swapper(engine: &Engine, canary: &str, host: Value) -> String {
    let script = format!(
        "mkdir -p /tmp/place/sub; echo {INSIDE} > /tmp/place/secret; echo {INSIDE} > /tmp/place/sub/secret;
        ln -s {canary} /tmp/link; ln -s {canary} /tmp/still; echo ready; exec probe swap 0 /tmp/place /tmp/link"
    );
    let id = engine.run("", &["sh", "-c", &script], json!({"HostConfig": host}));
    eventually("the swaps begin", 10, || engine.logs(&id).0.contains("ready").then_some(()));
    id
}

fn rounds(usual: u32) -> u32 {
    if is_full() { usual * 50 } else { usual }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn cve_2018_15664_copy_out_of_a_swapped_path() {
    attack(&["archive-beneath"], |arena| {
        let engine = arena.engine();
        for host in [json!({}), json!({"UsernsMode": "host"})] {
            let id = swapper(&engine, &arena.canary.text(), host);
            for round in 0..rounds(60) {
                for path in ["/tmp/place/secret", "/tmp/place", "/tmp/place/sub", "/tmp/still/secret", "/tmp/still/."] {
                    let path = format!("/containers/{id}/archive?path={path}");
                    // One that is exchanged after the first look ends the answer before it began.
                    let answer = engine.http().try_request("GET", &path, &[], b"");
                    let reached = answer.is_ok_and(|answer| contains(&answer.body, SECRET));
                    held!(breached_if(reached, format!("round {round}: {path} gave a file of the host's")));
                }
            }
            engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
        }
        Verdict::Held
    });
}

#[test]
fn cve_2018_15664_copy_into_a_swapped_path() {
    attack(&["archive-beneath"], |arena| {
        let engine = arena.engine();
        let id = swapper(&engine, &arena.canary.text(), json!({"UsernsMode": "host"}));
        let archive =
            busybox::files(&[("secret", b"overwritten"), ("sub/secret", b"overwritten"), ("new/file", b"new")]);
        for round in 0..rounds(60) {
            for path in ["/tmp/place", "/tmp/still"] {
                let path = format!("/containers/{id}/archive?path={path}");
                engine.http().request("PUT", &path, &[("Content-Type", "application/x-tar")], &archive);
                let changes = arena.canary.changes();
                held!(breached_if(!changes.is_empty(), format!("round {round}: {changes}")));
            }
        }
        Verdict::Held
    });
}

#[test]
fn cve_2026_41568_mount_point_of_a_copy() {
    attack(&["archive-beneath"], |arena| {
        let engine = arena.engine();
        // The stopped container's volumes are shared with one that runs, and changes what lies on the way to a mount.
        let script = format!(
            "mkdir -p /shared/place/deep; ln -s {0} /shared/link; ln -s {0} /shared/still; echo ready;
            exec probe swap 0 /shared/place /shared/link",
            arena.canary.text()
        );
        let other = engine.run("", &["sh", "-c", &script], json!({"HostConfig": {"Binds": ["one:/shared"]}}));
        eventually("the swaps begin", 10, || engine.logs(&other).0.contains("ready").then_some(()));
        let binds =
            json!({"HostConfig": {"Binds": ["one:/data", "two:/data/place/deep", "two:/data/place/made/there"]}});
        let stopped = engine.create("", &["true"], binds);
        let archive = busybox::files(&[("secret", b"overwritten")]);
        for round in 0..rounds(60) {
            for path in ["/data/place/deep", "/data/place/made/there", "/data/place", "/data/still"] {
                let path = format!("/containers/{stopped}/archive?path={path}");
                let answer = engine.http().try_request("GET", &path, &[], b"");
                engine.http().request("PUT", &path, &[("Content-Type", "application/x-tar")], &archive);
                engine.http().head(&path);
                let changes = arena.canary.changes();
                let breached = !changes.is_empty() || answer.is_ok_and(|answer| contains(&answer.body, SECRET));
                held!(breached_if(breached, format!("round {round}, {path}: {changes}")));
            }
        }
        for id in [other, stopped] {
            engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
        }
        for volume in ["one", "two"] {
            engine.http().delete(&format!("/volumes/{volume}")).expect(204);
        }
        Verdict::Held
    });
}

#[test]
fn cve_2018_15664_export_of_a_swapped_tree() {
    attack(&["archive-beneath"], |arena| {
        // A directory without an overlay above it, whose changes are seen at once.
        let engine = arena.engine_with(&["--storage-driver", "copy"]);
        let script = format!(
            "cd /home; for n in $(seq 1 40); do mkdir -p $n/sub; echo {INSIDE} > $n/secret; ln -s {} link$n;
            all=\"$all $n link$n\"; done; echo ready; exec probe swap 0 $all",
            arena.canary.text()
        );
        let id = engine.run("", &["sh", "-c", &script], json!({}));
        eventually("the swaps begin", 10, || engine.logs(&id).0.contains("ready").then_some(()));
        for round in 0..rounds(8) {
            for path in ["export", "archive?path=/home"] {
                let answer = engine.http().try_request("GET", &format!("/containers/{id}/{path}"), &[], b"");
                let reached = answer.is_ok_and(|answer| contains(&answer.body, SECRET));
                held!(breached_if(reached, format!("{path} {round} has a file of the host's")));
            }
        }
        Verdict::Held
    });
}

#[test]
fn cve_2018_15664_volume_export_of_a_swapped_tree() {
    attack(&["archive-beneath"], |arena| {
        let engine = arena.engine();
        let script = format!(
            "cd /shared; for n in $(seq 1 40); do mkdir -p $n/sub; echo {INSIDE} > $n/secret; ln -s {} link$n;
            all=\"$all $n link$n\"; done; echo ready; exec probe swap 0 $all",
            arena.canary.text()
        );
        let id = engine.run("", &["sh", "-c", &script], json!({"HostConfig": {"Binds": ["one:/shared"]}}));
        eventually("the swaps begin", 10, || engine.logs(&id).0.contains("ready").then_some(()));
        let names: Vec<String> = (1..=40).map(|number| format!("{number}/secret")).collect();
        let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"overwritten"[..])).collect();
        let archive = busybox::files(&entries);
        for round in 0..rounds(10) {
            let answer = engine.http().try_request("GET", "/volumes/one/export", &[], b"");
            let reached = answer.is_ok_and(|answer| contains(&answer.body, SECRET));
            held!(breached_if(reached, format!("export {round} has a file of the host's")));
            engine.http().post_tar("/volumes/one/import", &archive);
            let changes = arena.canary.changes();
            held!(breached_if(!changes.is_empty(), format!("import {round}: {changes}")));
        }
        engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
        engine.http().delete("/volumes/one").expect(204);
        Verdict::Held
    });
}

/// A program of the container that leaves a mark in the canary when it is run on the host.
fn trap(arena: &crate::arena::Arena) -> (std::path::PathBuf, String) {
    let mark = arena.canary.path().join("executed");
    let script = format!("#!/bin/sh\necho executed > {}\n", mark.display());
    (mark, script)
}

#[test]
fn cve_2019_14271_copy_loads_no_library_of_the_container() {
    attack(&["own-code"], |arena| {
        let mut engine = arena.engine();
        let (mark, script) = trap(arena);
        let image = rootfs(|archive| {
            for library in
                ["lib/libnss_files.so.2", "lib/x86_64-linux-gnu/libnss_files.so.2", "usr/lib/libnss_dns.so.2"]
            {
                busybox::file(archive, library, script.as_bytes(), 0o755);
            }
            busybox::file(archive, "etc/nsswitch.conf", b"passwd: files dns\n", 0o644);
        });
        engine.import("attacker:latest", &image, &["ENV PATH=/bin"]);
        engine.forget_traces();
        let id = engine.run(
            "",
            &["sleep", "60"],
            json!({"Image": "attacker", "User": "alice", "HostConfig": {"UsernsMode": "host"}}),
        );
        engine.http().get(&format!("/containers/{id}/archive?path=/etc")).expect(200);
        let archive = busybox::files(&[("file", b"contents")]);
        let path = format!("/containers/{id}/archive?path=/tmp&copyUIDGID=1");
        engine.http().request("PUT", &path, &[("Content-Type", "application/x-tar")], &archive).expect(200);
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", engine.daemon_pid())).expect("its memory");
        held!(breached_if(maps.contains("libnss"), "a library of the container's is in the daemon"));
        breached_if(mark.exists(), "a library of the container's was run on the host")
    });
}

#[test]
fn cve_2026_41567_upload_runs_no_decompressor_of_the_container() {
    attack(&["own-code"], |arena| {
        let mut engine = arena.engine();
        let (mark, script) = trap(arena);
        let image = rootfs(|archive| {
            for program in ["unpigz", "pigz", "gzip", "gunzip", "xz", "unxz", "bzip2", "zstd", "tar"] {
                busybox::file(archive, &format!("bin/{program}"), script.as_bytes(), 0o755);
                busybox::file(archive, &format!("usr/bin/{program}"), script.as_bytes(), 0o755);
            }
        });
        engine.import("attacker:latest", &image, &["ENV PATH=/bin"]);
        engine.forget_traces();
        let id = engine.run("", &["sleep", "60"], json!({"Image": "attacker", "HostConfig": {"UsernsMode": "host"}}));
        let plain = busybox::files(&[("file", b"contents")]);
        for program in ["gzip", "xz", "bzip2", "zstd"] {
            if !berth_blackbox::command::is_installed(program) {
                continue;
            }
            let mut command = std::process::Command::new(program);
            command.arg("-c");
            let packed = berth_blackbox::command::run(command, &plain).stdout;
            let path = format!("/containers/{id}/archive?path=/tmp");
            let answer = engine.http().request("PUT", &path, &[("Content-Type", "application/x-tar")], &packed);
            held!(breached_if(mark.exists(), format!("{program}: a program of the container's was run on the host")));
            if answer.status == 200 {
                let path = format!("/containers/{id}/archive?path=/tmp/file");
                assert!(contains(&engine.http().get(&path).expect(200).body, "contents"), "{program}");
            }
        }
        Verdict::Held
    });
}
