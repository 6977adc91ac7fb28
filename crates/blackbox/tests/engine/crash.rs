//! The daemon is killed at any moment: containers, their logs and exit codes, names and images survive.

use std::time::Duration;

use berth_blackbox::{Engine, Kind, eventually};
use serde_json::{Value, json};

/// dockerd keeps containers over its own end only with live-restore, and this suite kills, which it does not promise.
macro_rules! berth_only {
    ($engine:expr) => {
        if $engine.kind() != Kind::Berth {
            berth_blackbox::skip!("a killed daemon is berth's own promise");
        }
    };
}

#[test]
fn containers_run_on_and_are_found_again() {
    let mut engine = Engine::start();
    berth_only!(engine);
    let id = engine.run("it", &["sh", "-c", "while :; do echo tick; sleep 0.02; done"], json!({}));
    let pid = engine.inspect(&id)["State"]["Pid"].clone();
    eventually("it speaks", 5, || engine.logs(&id).0.contains("tick").then_some(()));
    engine.kill_daemon();
    std::thread::sleep(Duration::from_millis(300));
    engine.start_daemon();
    let state = engine.inspect(&id)["State"].clone();
    assert_eq!((state["Status"].as_str(), &state["Pid"]), (Some("running"), &pid));
    let lines = engine.logs(&id).0.lines().count();
    assert!(lines > 10, "what it said without a daemon is in the log: {lines}");
    eventually("it speaks on", 5, || (engine.logs(&id).0.lines().count() > lines).then_some(()));
    assert_eq!(engine.cli(&["exec", "it", "echo", "in"]).ok(), "in");
    engine.http().post("/containers/it/stop?t=0").expect(204);
    assert_eq!(engine.inspect(&id)["State"]["ExitCode"], 137);
}

#[test]
fn an_exit_without_a_daemon_is_told_later() {
    let mut engine = Engine::start();
    berth_only!(engine);
    let id = engine.run("it", &["sh", "-c", "sleep 0.3; echo last words; exit 23"], json!({}));
    let gone = engine.run("gone", &["sleep", "0.3"], json!({"HostConfig": {"AutoRemove": true}}));
    engine.kill_daemon();
    std::thread::sleep(Duration::from_millis(800));
    engine.start_daemon();
    let state = engine.inspect(&id)["State"].clone();
    assert_eq!((state["Status"].as_str(), state["ExitCode"].as_i64()), (Some("exited"), Some(23)), "{state}");
    assert_eq!(engine.logs(&id).0, "last words\n");
    assert_eq!(engine.wait(&id), 23);
    eventually("--rm is kept", 5, || {
        (engine.http().get(&format!("/containers/{gone}/json")).status == 404).then_some(())
    });
}

#[test]
fn policies_of_restart_hold_over_a_crash() {
    let mut engine = Engine::start();
    berth_only!(engine);
    let always = engine.run("", &["sleep", "0.3"], json!({"HostConfig": {"RestartPolicy": {"Name": "always"}}}));
    engine.kill_daemon();
    std::thread::sleep(Duration::from_millis(600));
    engine.start_daemon();
    eventually("it runs again", 10, || (engine.inspect(&always)["State"]["Running"] == true).then_some(()));
}

#[test]
fn published_ports_and_attached_input_work_again() {
    let mut engine = Engine::start();
    berth_only!(engine);
    let bindings = json!({"80/tcp": [{"HostPort": "8080"}]});
    let script = "mkdir /www; echo web > /www/index.html; exec httpd -f -h /www";
    engine.run(
        "web",
        &["sh", "-c", script],
        json!({"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"PortBindings": bindings}}),
    );
    let reader = engine.run("", &["sh", "-c", "read x; echo got $x"], json!({"OpenStdin": true}));
    let fetch = |engine: &Engine| engine.host(&[env!("CARGO_BIN_EXE_probe"), "http", "127.0.0.1:8080"]).text();
    eventually("it answers", 5, || (fetch(&engine) == "web\n").then_some(()));
    engine.kill_daemon();
    assert_eq!(fetch(&engine), "web\n", "no daemon is needed for a published port");
    engine.start_daemon();
    assert_eq!(fetch(&engine), "web\n");
    let (_, mut stream) =
        engine.http().stream("POST", &format!("/containers/{reader}/attach?stdin=1&stdout=1&stream=1"), &json!(null));
    stream.write(b"it\n");
    assert_eq!(berth_blackbox::http::demultiplex(&stream.rest()).0, b"got it\n");
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_answered() {
    let mut engine = Engine::start();
    berth_only!(engine);
    let mut promised: Vec<(String, bool)> = Vec::new();
    for round in 0..12_u64 {
        let http = engine.http();
        let worker = std::thread::spawn(move || {
            let mut done = Vec::new();
            for n in 0..200 {
                let name = format!("r{round}n{n}");
                let body = json!({"Image": "busybox", "Cmd": ["sleep", "600"]}).to_string();
                let headers = [("Content-Type", "application/json")];
                let created =
                    http.try_request("POST", &format!("/containers/create?name={name}"), &headers, body.as_bytes());
                if !created.is_ok_and(|answer| answer.status == 201) {
                    break;
                }
                let started = http.try_request("POST", &format!("/containers/{name}/start"), &[], b"");
                let is_started = started.is_ok_and(|answer| answer.status == 204);
                done.push((name, is_started));
                if !is_started {
                    break;
                }
            }
            done
        });
        std::thread::sleep(Duration::from_millis(3 + round * 13));
        engine.kill_daemon();
        promised.extend(worker.join().expect("the worker"));
        engine.start_daemon();
        for (name, was_started) in &promised {
            let answer = engine.http().get(&format!("/containers/{name}/json"));
            assert_eq!(answer.status, 200, "{name} was acknowledged");
            let status = answer.json()["State"]["Status"].clone();
            assert!(!was_started || status == "running", "{name} was started and is {status}");
        }
        for (name, _) in promised.drain(..) {
            engine.http().delete(&format!("/containers/{name}?force=1")).expect(204);
        }
        let rest = engine.http().get("/containers/json?all=1").json();
        for container in rest.as_array().into_iter().flatten() {
            remove(&engine, container);
        }
    }
}

/// What was made and not acknowledged can at least be removed.
fn remove(engine: &Engine, container: &Value) {
    let id = container["Id"].as_str().expect("an id");
    engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
}

#[test]
fn a_kill_while_removing_or_loading_leaves_a_whole_state() {
    let mut engine = Engine::start();
    berth_only!(engine);
    let archive = engine.http().get("/images/busybox/get").expect(200).body;
    for round in 0..6_u64 {
        let http = engine.http();
        let names: Vec<String> =
            (0..10).map(|n| engine.run(&format!("r{round}n{n}"), &["sleep", "600"], json!({}))).collect();
        let (archive, doomed) = (archive.clone(), names.clone());
        let worker = std::thread::spawn(move || {
            http.try_request("POST", "/images/load", &[("Content-Type", "application/x-tar")], &archive).ok();
            for id in doomed {
                http.try_request("DELETE", &format!("/containers/{id}?force=1"), &[], b"").ok();
            }
        });
        std::thread::sleep(Duration::from_millis(5 + round * 25));
        engine.kill_daemon();
        worker.join().expect("the worker");
        engine.start_daemon();
        for id in names {
            let answer = engine.http().delete(&format!("/containers/{id}?force=1"));
            assert!([204, 404].contains(&answer.status), "{}", answer.text());
        }
        assert_eq!(engine.run_to_end(&["echo", "alive"], json!({})).1, "alive\n");
    }
}

/// Everything that writes a record: create, start, exit, rename, update, tag, volume, remove.
fn a_day(engine: &Engine) {
    let http = engine.http();
    let json = [("Content-Type", "application/json")];
    let steps = [
        ("POST", "/volumes/create", r#"{"Name": "vol"}"#),
        (
            "POST",
            "/containers/create?name=day",
            r#"{"Image": "busybox", "Cmd": ["sleep", "600"], "HostConfig": {"Binds": ["vol:/v"]}}"#,
        ),
        ("POST", "/containers/day/start", ""),
        ("POST", "/containers/day/update", r#"{"Memory": 67108864, "MemorySwap": 134217728}"#),
        ("POST", "/containers/day/rename?name=night", ""),
        ("POST", "/containers/night/kill", ""),
        ("POST", "/containers/night/wait", ""),
        ("POST", "/commit?container=night&repo=kept", "{}"),
        ("DELETE", "/containers/night", ""),
        ("DELETE", "/images/kept", ""),
        ("DELETE", "/volumes/vol", ""),
    ];
    for (method, path, body) in steps {
        if http.try_request(method, path, &json, body.as_bytes()).is_err() {
            return;
        }
    }
}

/// Debug builds die at the n-th write of a record when told to (`BERTH_CRASH_AT_WRITE`): this visits each of them.
#[test]
fn a_crash_at_each_write_of_a_record_is_recovered_from() {
    let mut engine = Engine::start();
    berth_only!(engine);
    let mut survived = 0;
    for n in 1..=60 {
        for moment in ["", ":after"] {
            engine.kill_daemon();
            if engine.start_daemon_with(&[("BERTH_CRASH_AT_WRITE", &format!("{n}{moment}"))]) {
                a_day(&engine);
            }
            if engine.is_alive() {
                survived += 1;
                engine.kill_daemon();
            } else {
                engine.bury_daemon();
            }
            engine.start_daemon();
            assert_eq!(
                engine.run_to_end(&["echo", "alive"], json!({})).1,
                "alive\n",
                "after a crash at write {n}{moment}"
            );
            let rest = engine.http().get("/containers/json?all=1").json();
            for container in rest.as_array().into_iter().flatten() {
                remove(&engine, container);
            }
            engine.http().delete("/images/kept");
            engine.http().delete("/volumes/vol");
        }
        if survived >= 2 {
            assert!(n > 3, "the daemon was to die at its writes: is this a debug build?");
            return;
        }
    }
    panic!("more writes than expected");
}

#[test]
fn a_stop_of_the_daemon_leaves_containers_with_live_restore() {
    let mut engine = Engine::start_with(&["--live-restore"]);
    berth_only!(engine);
    let id = engine.run("it", &["sleep", "60"], json!({}));
    let pid = engine.inspect(&id)["State"]["Pid"].clone();
    assert_eq!(engine.stop_daemon(), 0);
    engine.start_daemon();
    assert_eq!(engine.inspect(&id)["State"]["Pid"], pid);
}
