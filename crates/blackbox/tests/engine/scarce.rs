//! When something runs out, breaks or is taken away: the daemon says what and goes on, and comes back to order when it
//! is there again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use berth_blackbox::{Engine, Kind, eventually};
use serde_json::json;

use crate::build_basic::folder;

macro_rules! berth_only {
    ($engine:expr) => {
        if $engine.kind() != Kind::Berth {
            berth_blackbox::skip!("Docker promises nothing here");
        }
    };
}

/// An engine whose data root is what `mount` puts there, with the image.
fn on_a_mount(mount: &str) -> Engine {
    let mut engine = Engine::start_empty(&[]);
    if engine.kind() != Kind::Berth {
        return engine;
    }
    engine.stop_daemon();
    let data = engine.place().join("data");
    engine.within(&["sh", "-c", &mount.replace("DATA", &data.display().to_string())]).ok();
    engine.start_daemon();
    engine.import_busybox();
    engine
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_full_disk_is_said_and_survived() {
    let mut engine = on_a_mount("mount -t tmpfs -o size=48m full DATA");
    berth_only!(engine);
    let id = engine.run("early", &["sleep", "600"], json!({}));
    let fill = text(&engine.place().join("data/fill"));
    engine.within(&["sh", "-c", &format!("dd if=/dev/zero of={fill} bs=4k 2>/dev/null; true")]).ok();
    let (mut refused, json) = (Vec::new(), [("Content-Type", "application/json")]);
    for (path, body) in [
        ("/containers/create?name=late", r#"{"Image": "busybox", "Cmd": ["true"]}"#),
        ("/volumes/create", r#"{"Name": "late"}"#),
        ("/networks/create", r#"{"Name": "late"}"#),
        ("/commit?container=early&repo=late", "{}"),
    ] {
        let answer = engine.http().request("POST", path, &json, body.as_bytes());
        if answer.status >= 400 {
            refused.push(answer.message());
        }
    }
    assert!(refused.iter().any(|said| said.to_lowercase().contains("space") || said.contains("full")), "{refused:?}");
    // What runs goes on, and can be looked at and ended.
    assert_eq!(engine.inspect(&id)["State"]["Status"], "running");
    assert_eq!(engine.cli(&["exec", "early", "echo", "in"]).ok(), "in");
    assert_eq!(engine.http().post("/containers/early/kill").status, 204);
    // Also a daemon that starts on a full disk.
    engine.kill_daemon();
    engine.start_daemon();
    engine.within(&["rm", &fill]).ok();
    assert_eq!(engine.run_to_end(&["echo", "again"], json!({})).1, "again\n");
    engine.http().delete("/containers/late?force=1");
    engine.http().delete("/volumes/late");
    engine.http().delete("/networks/late");
    engine.berth(&["fsck"]).ok();
}

#[test]
fn a_full_disk_fails_one_step_of_a_build() {
    let mut engine = on_a_mount("mount -t tmpfs -o size=48m full DATA");
    berth_only!(engine);
    let build = |last: &str, arguments: &[&str]| {
        let text = format!("FROM busybox\nRUN echo kept > /kept\n{last}\n");
        let path = folder(&engine, "ctx", &[("Dockerfile", &text)]);
        engine.berth(&[&["build", "--progress=plain", &path], arguments].concat())
    };
    build("RUN dd if=/dev/zero of=/big bs=1M count=100", &[]).fails("no space left");
    let after = build("RUN echo small > /big", &["-t", "after:x"]);
    assert_eq!(after.code, 0, "{}", after.stderr);
    assert_eq!(after.stderr.matches(" CACHED\n").count(), 2, "what came before is known: {}", after.stderr);
    assert_eq!(engine.berth(&["run", "--rm", "after:x", "cat", "/kept", "/big"]).ok(), "kept\nsmall");
    // Files that do not fit.
    std::fs::write(engine.place().join("ctx/big"), vec![7; 60 << 20]).expect("a large file");
    build("COPY big /big", &[]).fails("no space left");
    std::fs::remove_file(engine.place().join("ctx/big")).expect("it is there");
    build("RUN echo other > /big", &["-t", "after:y"]).ok();
    assert!(engine.is_alive(), "{}", engine.log());
    engine.berth(&["fsck"]).ok();
}

#[test]
fn a_disk_that_breaks_is_said_and_survived() {
    // A disk that is larger than what is behind it: when that is used up, writes are errors of the device.
    let script = "mkdir DATA.disk && mount -t tmpfs -o size=24m disk DATA.disk && truncate -s 256M DATA.disk/image && \
                  mkfs.ext4 -q -F -O ^has_journal DATA.disk/image && mount -o loop DATA.disk/image DATA";
    let mut engine = on_a_mount(script);
    berth_only!(engine);
    engine.run("early", &["sleep", "600"], json!({}));
    let (disk, data) = (text(&engine.place().join("data.disk")), text(&engine.place().join("data")));
    engine.within(&["sh", "-c", &format!("sync; dd if=/dev/zero of={disk}/fill bs=4k 2>/dev/null; true")]).ok();
    let json = [("Content-Type", "application/json")];
    let create = r#"{"Image": "busybox", "Cmd": ["true"]}"#;
    let mut refused = Vec::new();
    for n in 0..12 {
        let answer =
            engine.http().request("POST", &format!("/containers/create?name=late{n}"), &json, create.as_bytes());
        refused.extend((answer.status >= 400).then(|| answer.message()));
    }
    assert!(!refused.is_empty() && refused.iter().all(|said| !said.is_empty()), "the disk is broken: {refused:?}");
    assert!(engine.is_alive(), "{}", engine.log());
    let list = engine.http().get("/containers/json").expect(200).json();
    assert_eq!(list[0]["Names"][0], "/early", "{list}");
    assert_eq!(engine.cli(&["exec", "early", "echo", "in"]).ok(), "in");
    engine.http().post("/containers/early/kill").expect(204);
    assert_eq!(engine.inspect("early")["State"]["Status"], "exited");
    // The disk is whole again, with what was flushed, and there is a new daemon.
    engine.kill_daemon();
    engine.within(&["rm", &format!("{disk}/fill")]).ok();
    eventually("nobody uses the disk", 10, || (engine.within(&["umount", &data]).code == 0).then_some(()));
    let mend = format!("e2fsck -fy {disk}/image >/dev/null; mount -o loop {disk}/image {data}");
    engine.within(&["sh", "-c", &mend]).ok();
    engine.start_daemon();
    assert_eq!(engine.http().get("/containers/early/json").status, 200, "{}", engine.log());
    assert_eq!(engine.run_to_end(&["echo", "again"], json!({})).1, "again\n");
}

#[test]
fn a_daemon_out_of_descriptors_comes_back_to_itself() {
    let mut engine = Engine::start();
    berth_only!(engine);
    let id = engine.run("early", &["sleep", "600"], json!({}));
    let pid = engine.daemon_pid().to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count() + 4;
    engine.host(&["prlimit", "--pid", &pid, &format!("--nofile={open}:")]).ok();
    let held: Vec<_> = (0..40).filter_map(|_| std::os::unix::net::UnixStream::connect(engine.socket()).ok()).collect();
    std::thread::sleep(Duration::from_millis(500));
    drop(held);
    // Within the few that are left some operations fail: each with a sentence, none with an end of the daemon.
    let json = [("Content-Type", "application/json")];
    let body = r#"{"Image": "busybox", "Cmd": ["sleep", "600"]}"#;
    let said: Vec<String> = (0..6)
        .filter_map(|n| {
            let http = engine.http();
            http.try_request("POST", &format!("/containers/create?name=n{n}"), &json, body.as_bytes()).ok()?;
            let answer = http.try_request("POST", &format!("/containers/n{n}/start"), &[], b"").ok()?;
            (answer.status >= 400).then(|| answer.message())
        })
        .collect();
    assert!(engine.is_alive(), "{}", engine.log());
    assert!(said.iter().all(|text| !text.is_empty()), "{said:?}");
    engine.host(&["prlimit", "--pid", &pid, "--nofile=1024:"]).ok();
    assert_eq!(engine.run_to_end(&["echo", "again"], json!({})).1, "again\n");
    assert_eq!(engine.inspect(&id)["State"]["Status"], "running");
}

#[test]
fn a_daemon_out_of_memory_loses_nothing() {
    let mut engine = Engine::start();
    berth_only!(engine);
    let id = engine.run("early", &["sleep", "600"], json!({}));
    let pid = engine.inspect(&id)["State"]["Pid"].clone();
    let daemon = engine.daemon_pid().to_string();
    // No more address space than it has: what it asks for next is refused.
    let status = std::fs::read_to_string(format!("/proc/{daemon}/status")).expect("its status");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("a size");
    let bytes = size.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024;
    engine.host(&["prlimit", "--pid", &daemon, &format!("--as={bytes}:")]).ok();
    let archive = vec![0; 32 << 20];
    for _ in 0..4 {
        engine.http().try_request("POST", "/images/load", &[("Content-Type", "application/x-tar")], &archive).ok();
        engine.http().try_request("GET", "/containers/json?all=1", &[], b"").ok();
    }
    // It may have ended: memory that cannot be had is an end that every part of it is made for.
    if engine.is_alive() {
        engine.kill_daemon();
    } else {
        engine.bury_daemon();
    }
    engine.start_daemon();
    let state = engine.inspect(&id)["State"].clone();
    assert_eq!((&state["Pid"], state["Status"].as_str()), (&pid, Some("running")));
    assert_eq!(engine.run_to_end(&["echo", "again"], json!({})).1, "again\n");
}

#[test]
fn a_cgroup_that_is_taken_away() {
    let engine = Engine::start();
    berth_only!(engine);
    let id = engine.run("it", &["sleep", "600"], json!({}));
    let pid = engine.inspect(&id)["State"]["Pid"].to_string();
    // Somebody moves the process to the top of every hierarchy, and removes the directories.
    let script = format!(
        "for top in /sys/fs/cgroup /sys/fs/cgroup/*; do
            [ -d $top/{0} ] || continue
            echo {pid} > $top/cgroup.procs 2>/dev/null || echo {pid} > $top/tasks
            rmdir $top/{0}/* 2>/dev/null; done; true",
        engine.cgroup()
    );
    engine.within(&["sh", "-c", &script]).ok();
    for path in ["stats?stream=0", "top", "json"] {
        let answer = engine.http().get(&format!("/containers/{id}/{path}"));
        assert!(answer.status == 200 || !answer.message().is_empty(), "{path}: {}", answer.status);
    }
    let update = engine.http().post_json(&format!("/containers/{id}/update"), &json!({"PidsLimit": 9}));
    assert!(update.status == 200 || !update.message().is_empty());
    engine.http().post("/containers/it/stop?t=1").expect(204);
    assert_eq!(engine.inspect(&id)["State"]["ExitCode"], 137);
    engine.http().post("/containers/it/start").expect(204);
    assert_eq!(engine.cli(&["exec", "it", "echo", "again"]).ok(), "again");
}

#[test]
fn a_data_root_that_is_taken_away() {
    let mut engine = Engine::start();
    berth_only!(engine);
    let id = engine.run("it", &["sleep", "600"], json!({}));
    let data = text(&engine.place().join("data"));
    engine.within(&["sh", "-c", &format!("rm -rf {data}/* 2>/dev/null; true")]).ok();
    assert_eq!(engine.http().get("/containers/json").expect(200).json()[0]["Id"], id);
    assert_eq!(engine.inspect(&id)["State"]["Status"], "running");
    let answer = engine.http().post_json("/containers/create", &json!({"Image": "busybox", "Cmd": ["true"]}));
    if answer.status == 201 {
        let late = answer.json()["Id"].as_str().unwrap_or_default().to_owned();
        let start = engine.http().post(&format!("/containers/{late}/start"));
        assert!(start.status >= 400 && !start.message().is_empty(), "there are no layers: {}", start.status);
    }
    engine.http().post("/containers/it/kill");
    eventually("its end is seen", 5, || {
        let status = engine.inspect(&id)["State"]["Status"].clone();
        (status == "exited").then_some(())
    });
    assert!(engine.is_alive(), "{}", engine.log());
    // A new daemon begins anew.
    engine.kill_daemon();
    engine.start_daemon();
    engine.import_busybox();
    assert_eq!(engine.run_to_end(&["echo", "again"], json!({})).1, "again\n");
}

#[test]
fn a_controller_that_is_missing() {
    let mut engine = Engine::start();
    berth_only!(engine);
    if !Path::new("/sys/fs/cgroup/memory/tasks").exists() {
        berth_blackbox::skip!("the memory controller of version 1 is not mounted here");
    }
    engine.stop_daemon();
    engine.within(&["umount", "-l", "/sys/fs/cgroup/memory"]).ok();
    engine.start_daemon();
    let info = engine.http().get("/info").expect(200).json();
    assert_eq!(info["MemoryLimit"], false, "{info}");
    let warnings = info["Warnings"].to_string();
    assert!(warnings.contains("No memory limit support"), "{warnings}");
    assert_eq!(engine.run_to_end(&["echo", "without"], json!({})).1, "without\n");
    let limited = json!({"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Memory": 64 << 20}});
    let answer = engine.http().post_json("/containers/create", &limited);
    let said = if answer.status == 201 {
        let id = answer.json()["Id"].as_str().unwrap_or_default().to_owned();
        let start = engine.http().post(&format!("/containers/{id}/start"));
        format!("{} {}", answer.json()["Warnings"], start.message())
    } else {
        answer.message()
    };
    assert!(said.to_lowercase().contains("memory"), "a limit that cannot be kept is said: {said}");
}

/// What `start` of a container is refused with.
fn refusal(engine: &Engine, name: &str) -> String {
    let answer = engine.http().post(&format!("/containers/{name}/start"));
    assert!(answer.status >= 400, "{} {}", answer.status, answer.text());
    answer.message()
}

#[test]
fn a_port_that_is_held_is_named_with_its_holder() {
    let engine = Engine::start();
    berth_only!(engine);
    let publish = |port: &str| json!({"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": port}]}}});
    engine.run("first", &["sleep", "600"], publish("8080"));
    let before = engine.look();
    engine.create("second", &["sleep", "600"], publish("8080"));
    let said = refusal(&engine, "second");
    assert!(said.contains("0.0.0.0:8080") && said.contains("held by container first"), "{said}");
    // Somebody else's.
    let mut stranger = engine.neighbour("busybox").args(["nc", "-l", "-p", "8099"]).spawn().expect("a stranger");
    engine.create("third", &["sleep", "600"], publish("8099"));
    let said = eventually("the stranger listens", 5, || {
        let answer = engine.http().post("/containers/third/start");
        let is_refused = answer.status >= 400;
        if !is_refused {
            engine.http().post("/containers/third/stop?t=0").expect(204);
        }
        is_refused.then(|| answer.message())
    });
    assert!(said.contains("8099") && said.contains("in use"), "{said}");
    eventually("nothing is left of what was refused", 5, || {
        engine.look().beyond(&before).iter().all(|trace| trace.starts_with("file")).then_some(())
    });
    stranger.kill().expect("a stranger");
    stranger.wait().expect("a stranger");
    engine.http().delete("/containers/first?force=1").expect(204);
    for name in ["second", "third"] {
        engine.http().post(&format!("/containers/{name}/start")).expect(204);
    }
}

#[test]
fn a_layer_that_was_deleted_is_named_with_what_to_do() {
    let engine = Engine::start();
    berth_only!(engine);
    engine.create("early", &["true"], json!({}));
    let before = engine.look();
    let data = text(&engine.place().join("data"));
    let layers = engine.within(&["find", &data, "-type", "d", "-path", "*/layers/*/fs", "-prune"]).ok();
    let layer = layers.lines().next().expect("the directory of a layer").to_owned();
    engine.within(&["mv", &layer, &format!("{layer}.away")]).ok();
    let late = json!({"Image": "busybox", "Cmd": ["true"]});
    let answer = engine.http().post_json("/containers/create?name=late", &late);
    let late = if answer.status == 201 { refusal(&engine, "late") } else { answer.message() };
    for said in [refusal(&engine, "early"), late] {
        assert!(said.contains("is missing") && said.contains("load the image again"), "{said}");
    }
    engine.http().delete("/containers/late?force=1");
    eventually("nothing is left of what was refused", 5, || {
        engine.look().beyond(&before).iter().all(|trace| trace.starts_with("file")).then_some(())
    });
    engine.within(&["mv", &format!("{layer}.away"), &layer]).ok();
    engine.http().post("/containers/early/start").expect(204);
}

/// The 99th percentile of some requests, in milliseconds.
fn percentile(engine: &Engine, path: &str) -> f64 {
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let begin = Instant::now();
            engine.http().get(path).expect(200);
            begin.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() * 99 / 100].as_secs_f64() * 1e3
}

#[test]
fn one_that_sleeps_beyond_every_signal_holds_nobody_up() {
    let engine = Engine::start();
    berth_only!(engine);
    if !Path::new("/dev/fuse").exists() {
        berth_blackbox::skip!("there is no /dev/fuse");
    }
    let folder = engine.place().join("hang");
    std::fs::create_dir(&folder).expect("a folder");
    let mut server = engine.beside_the_daemon(env!("CARGO_BIN_EXE_probe"));
    let mut server =
        server.arg("hang").arg(&folder).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("nsenter");
    let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some("mounted"));
    let host = json!({"HostConfig": {"Binds": [format!("{}:/h", folder.display())], "UsernsMode": "host"}});
    let id = engine.run("stuck", &["cat", "/h/file"], host);
    assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some("stuck"));
    let pid = engine.inspect(&id)["State"]["Pid"].to_string();
    // One asks for its end, and waits. The kernel waits too: for an answer to a question that was taken.
    let http = engine.http();
    let ending = std::thread::spawn(move || http.try_request("POST", "/containers/stuck/stop?t=0", &[], b""));
    eventually("it sleeps", 5, || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.contains(") D ").then_some(())
    });
    for path in ["/containers/json?all=1", "/containers/stuck/json"] {
        let ms = percentile(&engine, path);
        println!("{path}: 99th percentile {ms:.1} ms");
        assert!(ms < 50.0, "{path}: 99th percentile {ms:.1} ms");
    }
    assert_eq!(engine.inspect(&id)["State"]["Running"], true, "it cannot be said to have ended");
    assert_eq!(engine.run_to_end(&["echo", "others"], json!({})).1, "others\n");
    // With its file system gone, it ends.
    server.kill().ok();
    server.wait().ok();
    engine.host(&["kill", "-KILL", &pid]);
    eventually("it ends", 10, || (engine.inspect(&id)["State"]["Running"] == false).then_some(()));
    ending.join().expect("the one who waits").ok();
    engine.within(&["umount", "-l", &text(&folder)]).ok();
}

/// A thousand at once: `BERTH_MANY` says how many; the long run of `make soak`.
#[test]
fn a_thousand_at_once() {
    let Some(many) = std::env::var("BERTH_MANY").ok().and_then(|text| text.parse::<usize>().ok()) else {
        berth_blackbox::skip!("the long run is make soak");
    };
    let engine = Engine::start();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                for n in (worker..many).step_by(8) {
                    engine.run(&format!("n{n}"), &["sleep", "86400"], json!({}));
                }
            });
        }
    });
    let started = begin.elapsed();
    let running = engine.http().get("/containers/json").expect(200).json().as_array().map_or(0, Vec::len);
    assert_eq!(running, many);
    let ps = percentile(&engine, "/containers/json");
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let engine = &engine;
            scope.spawn(move || {
                for n in (worker..many).step_by(8) {
                    engine.http().delete(&format!("/containers/n{n}?force=1")).expect(204);
                }
            });
        }
    });
    let removed = begin.elapsed();
    println!("{many} at once: started in {started:.1?}, ps p99 {ps:.1} ms, removed in {removed:.1?}");
}
