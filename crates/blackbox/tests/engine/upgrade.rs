//! One build follows the other in place, forth and back, under load: containers never notice, and each build finds what
//! the other made.
//!
//! The other build is `BERTH_TEST_OTHER`, or this one with another version written into it. `make soak` sets
//! `BERTH_UPGRADES` to the number of changes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use berth_blackbox::engine::binary;
use berth_blackbox::{Engine, Kind, eventually};
use serde_json::json;

const OWN: &[u8] = b"0.1.0";
const OTHER: &[u8] = b"0.9.7";

/// Another build: given, or made of this one.
fn other(place: &Path) -> PathBuf {
    if let Some(path) = std::env::var_os("BERTH_TEST_OTHER") {
        return path.into();
    }
    let mut bytes = std::fs::read(binary()).expect("the program");
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(OWN.len()).position(|window| window == OWN) {
        bytes[at + found..at + found + OTHER.len()].copy_from_slice(OTHER);
        at += found + OTHER.len();
    }
    let path = place.join("berth-other");
    std::fs::write(&path, bytes).expect("a copy");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    path
}

/// Ends the load, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn builds_follow_each_other_under_load() {
    let mut engine = Engine::start_with(&["--live-restore"]);
    if engine.kind() != Kind::Berth {
        berth_blackbox::skip!("two builds of berth are compared");
    }
    let changes = std::env::var("BERTH_UPGRADES").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let builds = [other(engine.place()), binary()];
    let bindings = json!({"80/tcp": [{"HostPort": "8080"}]});
    let web = "mkdir /www; echo web > /www/index.html; exec httpd -f -h /www";
    engine.run(
        "web",
        &["sh", "-c", web],
        json!({"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": bindings}}),
    );
    let ticks = "n=0; while :; do echo $n; n=$((n+1)); sleep 0.05; done";
    let clock = engine.run("clock", &["sh", "-c", ticks], json!({}));
    let before: Vec<_> = ["web", "clock"].iter().map(|name| engine.inspect(name)["State"].clone()).collect();
    let fetch = |engine: &Engine| engine.host(&[env!("CARGO_BIN_EXE_probe"), "http", "127.0.0.1:8080"]).text();
    eventually("the server answers", 5, || (fetch(&engine) == "web\n").then_some(()));
    let (over, lives) = (AtomicBool::new(false), AtomicUsize::new(0));
    let http = engine.http();
    let mut versions = Vec::new();
    std::thread::scope(|scope| {
        // The load goes on, whoever answers; what it asks while nobody does is asked again.
        scope.spawn(|| {
            let json = [("Content-Type", "application/json")];
            let body = r#"{"Image": "busybox", "Cmd": ["true"], "HostConfig": {"AutoRemove": true}}"#;
            while !over.load(Ordering::Relaxed) {
                let done = http.try_request("POST", "/containers/create", &json, body.as_bytes()).and_then(|answer| {
                    let id = answer.json()["Id"].as_str().unwrap_or_default().to_owned();
                    http.try_request("POST", &format!("/containers/{id}/start"), &[], b"")
                });
                if done.is_ok_and(|answer| answer.status == 204) {
                    lives.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let end = Over(&over);
        for change in 0..changes {
            let id =
                engine.run(&format!("by{change}"), &["sleep", "600"], json!({"HostConfig": {"Binds": ["kept:/v"]}}));
            if change % 2 == 0 {
                assert_eq!(engine.stop_daemon(), 0);
            } else {
                engine.kill_daemon();
            }
            assert_eq!(fetch(&engine), "web\n", "a published port needs no daemon");
            engine.change_binary(&builds[change % 2]);
            engine.start_daemon();
            versions.push(engine.http().get("/version").json()["Version"].to_string());
            let after: Vec<_> = ["web", "clock"].iter().map(|name| engine.inspect(name)["State"].clone()).collect();
            assert_eq!(after, before, "change {change}: a container noticed");
            // What the other build made is led by this one, through the other's supervisor.
            assert_eq!(engine.cli(&["exec", &id, "sh", "-c", "echo $0 >> /v/list; echo in"]).ok(), "in");
            engine.http().post(&format!("/containers/{id}/kill")).expect(204);
            assert_eq!(engine.wait(&id), 137);
            engine.http().delete(&format!("/containers/{id}")).expect(204);
        }
        drop(end);
    });
    if changes > 1 {
        assert_ne!(versions[0], versions[1], "two builds");
    }
    let (said, _) = engine.logs(&clock);
    let numbers: Vec<usize> = said.lines().map(|line| line.parse().expect("a number")).collect();
    assert!(numbers.iter().enumerate().all(|(at, number)| at == *number), "lines are lost or doubled: {said}");
    assert!(lives.load(Ordering::Relaxed) > changes, "{lives:?} lives under {changes} changes");
    println!(
        "{changes} changes of build, {} containers of the load, {} lines of log",
        lives.into_inner(),
        numbers.len()
    );
    engine.change_binary(&binary());
}
