//! `run`: how a process ends, and what it finds around itself.

use berth_blackbox::Engine;
use serde_json::json;

#[test]
fn exit_codes_are_the_containers_own() {
    let engine = Engine::start();
    for code in [0, 1, 42, 255] {
        engine.cli(&["run", "--rm", "busybox", "sh", "-c", &format!("exit {code}")]).code(code);
    }
    engine.cli(&["run", "--rm", "busybox", "sh", "-c", "kill -9 $$"]).code(137);
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
