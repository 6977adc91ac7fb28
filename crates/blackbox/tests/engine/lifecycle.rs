//! The life of a container: create, start, stop, kill, pause, rename, wait, list, prune, remove.

use std::time::Instant;

use berth_blackbox::workload::escape;
use berth_blackbox::{Engine, eventually};
use serde_json::json;

#[test]
fn states_follow_each_other() {
    let engine = Engine::start();
    let http = engine.http();
    let status = || engine.inspect("it")["State"]["Status"].as_str().unwrap_or_default().to_owned();
    engine.create("it", &["sleep", "60"], json!({}));
    assert_eq!(status(), "created");
    http.post("/containers/it/start").expect(204);
    assert_eq!(status(), "running");
    http.post("/containers/it/start").expect(304);
    http.post("/containers/it/pause").expect(204);
    assert_eq!(status(), "paused");
    http.post("/containers/it/pause").expect(409);
    http.post("/containers/it/unpause").expect(204);
    assert_eq!(status(), "running");
    http.post("/containers/it/kill").expect(204);
    engine.wait("it");
    assert_eq!(status(), "exited");
    assert_eq!(engine.inspect("it")["State"]["ExitCode"], 137);
    http.post("/containers/it/stop").expect(304);
    assert!(http.post("/containers/it/kill").expect(409).message().contains("is not running"));
    http.post("/containers/it/start").expect(204);
    assert_eq!(status(), "running");
    http.delete("/containers/it").expect(409);
    http.delete("/containers/it?force=1").expect(204);
    http.get("/containers/it/json").expect(404);
}

#[test]
fn stop_asks_first_and_kills_after_the_timeout() {
    let engine = Engine::start();
    let polite = engine.run("", &["sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done"], json!({}));
    let stubborn = engine.run("", &["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"], json!({}));
    std::thread::sleep(std::time::Duration::from_millis(200));
    let begin = Instant::now();
    engine.http().post(&format!("/containers/{polite}/stop?t=10")).expect(204);
    assert!(begin.elapsed().as_secs_f64() < 3.0, "it ended by itself: {:?}", begin.elapsed());
    assert_eq!(engine.inspect(&polite)["State"]["ExitCode"], 5);
    let begin = Instant::now();
    engine.http().post(&format!("/containers/{stubborn}/stop?t=1")).expect(204);
    let took = begin.elapsed().as_secs_f64();
    assert!((0.9..4.0).contains(&took), "{took} s");
    assert_eq!(engine.inspect(&stubborn)["State"]["ExitCode"], 137);
}

#[test]
fn the_stop_signal_is_the_containers() {
    let engine = Engine::start();
    let script = "trap 'exit 7' USR1; while :; do sleep 0.05; done";
    engine.run("it", &["sh", "-c", script], json!({"StopSignal": "SIGUSR1", "StopTimeout": 5}));
    std::thread::sleep(std::time::Duration::from_millis(200));
    engine.http().post("/containers/it/stop").expect(204);
    assert_eq!(engine.inspect("it")["State"]["ExitCode"], 7);
}

#[test]
fn kill_takes_names_and_numbers_and_refuses_others() {
    let engine = Engine::start();
    let script = "trap 'echo usr1' USR1; trap 'echo hup' HUP; while :; do sleep 0.05; done";
    engine.run("it", &["sh", "-c", script], json!({}));
    std::thread::sleep(std::time::Duration::from_millis(200));
    for signal in ["SIGUSR1", "hup", "10", "1"] {
        engine.http().post(&format!("/containers/it/kill?signal={signal}")).expect(204);
        std::thread::sleep(std::time::Duration::from_millis(150));
    }
    assert_eq!(engine.logs("it").0, "usr1\nhup\nusr1\nhup\n");
    let answer = engine.http().post("/containers/it/kill?signal=NOSUCH");
    // 20.10 answered 500 here; the description of the API has it as bad parameter.
    assert!([400, 500].contains(&answer.status));
    assert!(answer.message().to_lowercase().contains("invalid signal"), "{}", answer.text());
}

#[test]
fn restart_is_a_new_start() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    let first = engine.inspect("it")["State"].clone();
    engine.http().post("/containers/it/restart?t=0").expect(204);
    let second = engine.inspect("it")["State"].clone();
    assert_ne!(first["StartedAt"], second["StartedAt"]);
    assert_ne!(first["Pid"], second["Pid"]);
    assert_eq!(second["Running"], true);
}

#[test]
fn pause_stands_still() {
    let engine = Engine::start();
    engine.run("it", &["sh", "-c", "while :; do echo x; sleep 0.02; done"], json!({}));
    eventually("it speaks", 5, || (engine.logs("it").0.len() > 2).then_some(()));
    engine.http().post("/containers/it/pause").expect(204);
    std::thread::sleep(std::time::Duration::from_millis(100));
    let length = engine.logs("it").0.len();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(engine.logs("it").0.len(), length);
    let exec = engine.http().post_json("/containers/it/exec", &json!({"Cmd": ["true"]})).expect(409);
    assert!(exec.message().contains("is paused"), "{}", exec.text());
    engine.http().post("/containers/it/unpause").expect(204);
    eventually("it speaks again", 5, || (engine.logs("it").0.len() > length).then_some(()));
}

#[test]
fn wait_has_conditions() {
    let engine = Engine::start();
    engine.create("it", &["sh", "-c", "sleep 0.3; exit 4"], json!({"HostConfig": {"AutoRemove": true}}));
    let codes: Vec<i64> = std::thread::scope(|scope| {
        let ask = |condition: &'static str| {
            let http = engine.http();
            scope.spawn(move || {
                let answer = http.post(&format!("/containers/it/wait?condition={condition}")).expect(200).json();
                answer["StatusCode"].as_i64().expect("a code")
            })
        };
        let waits = [ask("next-exit"), ask("removed")];
        std::thread::sleep(std::time::Duration::from_millis(200));
        engine.http().post("/containers/it/start").expect(204);
        waits.into_iter().map(|wait| wait.join().expect("a wait")).collect()
    });
    assert_eq!(codes, [4, 4]);
    engine.http().get("/containers/it/json").expect(404);
    engine.create("other", &["true"], json!({}));
    let answer = engine.http().post("/containers/other/wait?condition=never");
    assert!(answer.status == 400 || engine.is_docker(), "20.10 takes any word: {}", answer.text());
}

#[test]
fn rename_moves_the_name() {
    let engine = Engine::start();
    engine.create("old", &["true"], json!({}));
    engine.create("other", &["true"], json!({}));
    engine.http().post("/containers/old/rename?name=new").expect(204);
    engine.http().get("/containers/old/json").expect(404);
    assert_eq!(engine.inspect("new")["Name"], "/new");
    engine.http().post("/containers/new/rename?name=other").expect(409);
    let answer = engine.http().post("/containers/new/rename?name=");
    assert!([400, 500].contains(&answer.status), "{}", answer.status);
    let answer = engine.http().post("/containers/new/rename?name=b%20d").expect(400);
    assert!(answer.message().contains("b d), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"), "{}", answer.text());
}

#[test]
fn ids_can_be_shortened_while_they_are_clear() {
    let engine = Engine::start();
    let id = engine.create("it", &["true"], json!({}));
    for short in [&id[..12], &id[..6], "it"] {
        assert_eq!(engine.inspect(&escape(short).replace("%2F", "/"))["Id"], id.as_str(), "{short}");
    }
}

#[test]
fn lists_filter_by_everything_dockers_do() {
    let engine = Engine::start();
    engine.run("up", &["sleep", "60"], json!({"Labels": {"tier": "web"}}));
    let down = engine.run("down", &["sh", "-c", "exit 3"], json!({"Labels": {"tier": "db", "x": ""}}));
    engine.wait(&down);
    engine.create("new", &["true"], json!({}));
    let names = |arguments: &[&str]| {
        let mut names: Vec<String> = engine
            .cli(&[&["ps", "--format", "{{.Names}}"], arguments].concat())
            .ok()
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names(&[]), "up");
    assert_eq!(names(&["-a"]), "down new up");
    assert_eq!(names(&["-a", "--filter", "label=tier"]), "down up");
    assert_eq!(names(&["-a", "--filter", "label=tier=db"]), "down");
    assert_eq!(names(&["-a", "--filter", "exited=3"]), "down");
    assert_eq!(names(&["--filter", "status=created"]), "new");
    assert_eq!(names(&["-a", "--filter", "name=^/?n"]), "new");
    assert_eq!(names(&["-a", "--filter", "status=exited", "--filter", "status=running"]), "down up");
    assert_eq!(names(&["-a", "--filter", "ancestor=busybox"]), "down new up");
    assert_eq!(names(&["-a", "--filter", "before=down"]), "up");
    assert_eq!(names(&["-a", "--filter", "since=down"]), "new");
    assert_eq!(names(&["-a", "-n", "1"]), "new");
    assert_eq!(names(&["-l"]), "new");
    assert_eq!(names(&["-a", "--filter", &format!("id={}", &down[..12])]), "down");
    let answer = engine.http().get("/containers/json?filters=%7B%22bogus%22%3A%5B%22x%22%5D%7D").expect(400);
    assert!(answer.message().to_lowercase().contains("invalid filter 'bogus"), "{}", answer.text());
}

#[test]
fn the_list_has_dockers_columns() {
    let engine = Engine::start();
    let id = engine.run("it", &["sleep", "60"], json!({"Labels": {"a": "b"}}));
    let list = engine.http().get("/containers/json?size=1").expect(200).json();
    let row = &list[0];
    assert_eq!((row["Id"].as_str(), &row["Names"]), (Some(id.as_str()), &json!(["/it"])));
    assert_eq!(
        (row["Image"].as_str(), row["Command"].as_str(), row["State"].as_str()),
        (Some("busybox"), Some("sleep 60"), Some("running"))
    );
    assert!(row["Status"].as_str().is_some_and(|status| status.starts_with("Up ")), "{row}");
    assert!(row["ImageID"].as_str().is_some_and(|image| image.starts_with("sha256:")), "{row}");
    assert!(row["Created"].is_i64() && row["SizeRootFs"].as_i64().is_some_and(|size| size > 1_000_000), "{row}");
    assert_eq!(row["Labels"], json!({"a": "b"}));
    assert!(
        row["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].as_str().is_some_and(|ip| !ip.is_empty()),
        "{row}"
    );
    let table = engine.cli(&["ps"]).ok();
    let head = table.lines().next().expect("a head").split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(head, "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES");
}

#[test]
fn inspect_has_what_clients_read() {
    let engine = Engine::start();
    let id = engine.run(
        "it",
        &["sleep", "60"],
        json!({"HostConfig": {"Memory": 64 << 20, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}}),
    );
    let inspect = engine.inspect(&id);
    for pointer in [
        "/Created",
        "/Image",
        "/Driver",
        "/Platform",
        "/State/StartedAt",
        "/Config/Hostname",
        "/HostConfig/NetworkMode",
        "/LogPath",
        "/NetworkSettings/SandboxKey",
    ] {
        assert!(inspect.pointer(pointer).is_some_and(|value| value.is_string()), "{pointer} in {inspect}");
    }
    assert!(inspect["State"]["Pid"].as_i64().is_some_and(|pid| pid > 1));
    assert_eq!(inspect["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(inspect["HostConfig"]["RestartPolicy"], json!({"Name": "on-failure", "MaximumRetryCount": 3}));
    assert_eq!(inspect["RestartCount"], 0);
    assert_eq!(
        engine.cli(&["inspect", "--format", "{{.State.Status}} {{.HostConfig.Memory}}", "it"]).ok(),
        "running 67108864"
    );
    engine.cli(&["inspect", "nobody"]).fails("no such object: nobody");
}

#[test]
fn top_lists_processes_of_the_container() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    let answer = engine.http().get("/containers/it/top").expect(200).json();
    let titles: Vec<&str> = answer["Titles"].as_array().expect("titles").iter().filter_map(|t| t.as_str()).collect();
    assert_eq!(titles, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    assert_eq!(answer["Processes"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["Processes"][0][7], "sleep 60");
    assert!(engine.cli(&["top", "it", "-o", "pid,comm"]).ok().contains("sleep"));
    engine.create("still", &["true"], json!({}));
    engine.http().get("/containers/still/top").expect(409);
}

#[test]
fn prune_removes_what_does_not_run() {
    let engine = Engine::start();
    engine.run("up", &["sleep", "60"], json!({}));
    let down = engine.run("down", &["true"], json!({}));
    engine.wait(&down);
    engine.create("kept", &["true"], json!({"Labels": {"keep": "yes"}}));
    let filters = escape("{\"label!\":[\"keep\"]}");
    let answer = engine.http().post(&format!("/containers/prune?filters={filters}")).expect(200).json();
    assert_eq!(answer["ContainersDeleted"], json!([down]));
    assert!(answer["SpaceReclaimed"].is_u64());
    engine.inspect("up");
    engine.inspect("kept");
}

#[test]
fn auto_remove_leaves_nothing() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "0.1"], json!({"HostConfig": {"AutoRemove": true}}));
    eventually("it is gone", 5, || (engine.http().get("/containers/it/json").status == 404).then_some(()));
    let policy = json!({"Image": "busybox", "HostConfig": {"AutoRemove": true, "RestartPolicy": {"Name": "always"}}});
    let answer = engine.http().post_json("/containers/create", &policy).expect(400);
    assert!(answer.message().contains("can't create 'AutoRemove' container with restart policy"), "{}", answer.text());
}

/// Sends a request and hangs up without waiting for the answer.
fn ask_and_leave(engine: &Engine, path: &str, after: std::time::Duration) {
    use std::io::Write as _;
    let mut stream = std::os::unix::net::UnixStream::connect(engine.socket()).expect("the daemon listens");
    let version = berth_blackbox::http::VERSION;
    write!(stream, "POST /{version}{path} HTTP/1.1\r\nHost: engine\r\nContent-Length: 0\r\n\r\n").expect("a request");
    std::thread::sleep(after);
}

#[test]
fn a_stop_goes_on_when_its_client_has_left() {
    let engine = Engine::start();
    let id = engine.run("it", &["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], json!({}));
    ask_and_leave(&engine, "/containers/it/stop?t=1", std::time::Duration::from_millis(200));
    let answer = engine.http().post(&format!("/containers/{id}/wait")).expect(200).json();
    assert_eq!(answer["StatusCode"], 137);
}

#[test]
fn clients_that_leave_at_once_leave_no_half_started_container() {
    let engine = Engine::start();
    let before = engine.look();
    for round in 0..12 {
        let id = engine.create("", &["sleep", "60"], json!({}));
        ask_and_leave(&engine, &format!("/containers/{id}/start"), std::time::Duration::from_micros(round * 700));
        eventually("it runs", 10, || (engine.inspect(&id)["State"]["Running"] == true).then_some(()));
        engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
    }
    eventually("nothing is left", 5, || engine.look().beyond(&before).is_empty().then_some(()));
}

#[test]
fn links_are_names_and_variables_and_can_be_taken_away() {
    let engine = Engine::start();
    let settings = json!({"Env": ["MODE=fast"], "ExposedPorts": {"80/tcp": {}}});
    engine.run("server", &["sleep", "60"], settings);
    let address = engine.inspect("server")["NetworkSettings"]["IPAddress"].as_str().expect("an address").to_owned();
    let links = json!({"HostConfig": {"Links": ["server:web"]}});
    let (_, text) = engine.run_to_end(&["env"], links.clone());
    for line in [
        "WEB_ENV_MODE=fast".to_owned(),
        format!("WEB_PORT=tcp://{address}:80"),
        format!("WEB_PORT_80_TCP_ADDR={address}"),
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    engine.run("client", &["sleep", "60"], links);
    engine.http().delete("/containers/client/other?link=1").expect(404);
    engine.http().delete("/containers/client/web?link=1").expect(204);
    let hosts = engine.cli(&["exec", "client", "cat", "/etc/hosts"]).ok();
    assert!(!hosts.contains("web"), "{hosts}");
    engine.http().delete("/containers/client?force=1").expect(204);
}
