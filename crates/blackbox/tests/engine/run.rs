//! `run`: how a container's process ends, and what the client makes of it.

use berth_blackbox::Engine;
use serde_json::json;

#[test]
fn exit_codes_are_the_containers_own() {
    let engine = Engine::start();
    for code in [0, 1, 42, 255] {
        engine.cli(&["run", "--rm", "busybox", "sh", "-c", &format!("exit {code}")]).code(code);
    }
    let id = engine.run("", &["sh", "-c", "kill -15 $$; sleep 60"], json!({"HostConfig": {"Init": true}}));
    assert_eq!(engine.wait(&id), 143, "128 + the signal that ended it");
}

#[test]
fn exit_codes_of_the_engine_are_125_126_127() {
    let engine = Engine::start();
    engine.cli(&["run", "--rm", "--cpus", "-1", "busybox", "true"]).code(125);
    engine.cli(&["run", "--rm", "busybox", "/etc/not-executable"]).code(126);
    engine.cli(&["run", "--rm", "busybox", "/etc"]).code(126);
    engine.cli(&["run", "--rm", "busybox", "no-such-program"]).code(127);
    engine.cli(&["run", "--rm", "busybox", "/no/such/program"]).code(127);
    let list = engine.http().get("/containers/json?all=1").json();
    assert_eq!(list, json!([]), "a failed run with --rm leaves no container");
}

#[test]
fn output_comes_back_on_its_own_stream() {
    let engine = Engine::start();
    let output = engine.cli(&["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((output.ok().as_str(), output.stderr.as_str()), ("out", "err\n"));
}

#[test]
fn input_reaches_the_process_and_its_end_too() {
    let engine = Engine::start();
    let text = "one\ntwo\n".repeat(20_000);
    let output = engine.cli_with(&["run", "--rm", "-i", "busybox", "md5sum"], text.as_bytes());
    assert_eq!(output.ok(), format!("{}  -", md5(&text)));
}

/// The checksum as the host's own md5sum gives it.
fn md5(text: &str) -> String {
    let output = berth_blackbox::command::run(std::process::Command::new("md5sum"), text.as_bytes());
    output.ok().split(' ').next().expect("a checksum").to_owned()
}

#[test]
fn detached_prints_the_id_and_runs_on() {
    let engine = Engine::start();
    let id = engine.cli(&["run", "-d", "--name", "web", "busybox", "sleep", "60"]).ok();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(engine.cli(&["ps", "-q", "--no-trunc"]).ok(), id);
    let inspect = engine.inspect("web");
    assert_eq!(inspect["State"]["Status"], "running");
    assert_eq!(inspect["Name"], "/web");
    assert_eq!(inspect["Path"], "sleep");
    assert_eq!(inspect["Args"], json!(["60"]));
}

#[test]
fn a_name_is_taken_once_and_free_after_removal() {
    let engine = Engine::start();
    engine.create("one", &["true"], json!({}));
    let answer = engine.http().post_json("/containers/create?name=one", &json!({"Image": "busybox"})).expect(409);
    assert!(
        answer.message().contains("The container name \"/one\" is already in use by container"),
        "{}",
        answer.text()
    );
    engine.http().delete("/containers/one").expect(204);
    engine.create("one", &["true"], json!({}));
}

#[test]
fn cidfile_env_file_and_labels_are_the_clients_work_done() {
    let engine = Engine::start();
    let (cid, env) = (engine.place().join("cid"), engine.place().join("env"));
    std::fs::write(&env, "# a comment\nFROM_FILE=yes\n").expect("a file");
    let arguments = [
        "run",
        "--cidfile",
        cid.to_str().expect("UTF-8"),
        "--env-file",
        env.to_str().expect("UTF-8"),
        "-e",
        "A=1",
        "--label",
        "tier=web",
        "--name",
        "it",
        "busybox",
        "sh",
        "-c",
        "echo $FROM_FILE $A",
    ];
    assert_eq!(engine.cli(&arguments).ok(), "yes 1");
    let inspect = engine.inspect("it");
    assert_eq!(std::fs::read_to_string(cid).expect("the cid file"), inspect["Id"].as_str().expect("an id"));
    assert_eq!(inspect["Config"]["Labels"], json!({"tier": "web"}));
}

#[test]
fn a_missing_image_is_a_404_that_names_it() {
    let engine = Engine::start();
    let answer = engine.http().post_json("/containers/create", &json!({"Image": "missing:latest"})).expect(404);
    assert!(answer.message().contains("No such image: missing:latest"), "{}", answer.text());
}

#[test]
fn forty_at_once_all_run() {
    let engine = Engine::start();
    let codes: Vec<i64> = std::thread::scope(|scope| {
        let start = |n: i64| {
            let engine = &engine;
            scope.spawn(move || engine.run_to_end(&["sh", "-c", &format!("exit {n}")], json!({})).0)
        };
        let runs: Vec<_> = (0..40).map(start).collect();
        runs.into_iter().map(|run| run.join().expect("a run")).collect()
    });
    assert_eq!(codes, (0..40).collect::<Vec<i64>>());
}
