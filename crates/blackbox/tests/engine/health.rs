//! Health checks.

use berth_blackbox::{Engine, eventually};
use serde_json::{Value, json};

const MS: u64 = 1_000_000;

fn check(test: Value) -> Value {
    json!({"Healthcheck": {"Test": test, "Interval": 100 * MS, "Timeout": 1000 * MS, "Retries": 2}})
}

fn status_becomes(engine: &Engine, id: &str, status: &str) -> Value {
    eventually(&format!("health is {status}"), 10, || {
        let health = engine.inspect(id)["State"]["Health"].clone();
        (health["Status"] == status).then_some(health)
    })
}

#[test]
fn a_check_that_succeeds_makes_it_healthy() {
    let engine = Engine::start();
    let id = engine.run("", &["sleep", "60"], check(json!(["CMD", "echo", "fine"])));
    let health = status_becomes(&engine, &id, "healthy");
    assert_eq!(health["FailingStreak"], 0);
    assert_eq!((health["Log"][0]["ExitCode"].as_i64(), health["Log"][0]["Output"].as_str()), (Some(0), Some("fine\n")));
    assert!(engine.cli(&["ps", "--format", "{{.Status}}"]).ok().contains("(healthy)"));
    let list =
        engine.http().get("/containers/json?filters=%7B%22health%22%3A%5B%22healthy%22%5D%7D").expect(200).json();
    assert_eq!(list.as_array().map(Vec::len), Some(1));
}

#[test]
fn retries_pass_before_it_is_unhealthy_and_it_can_recover() {
    let engine = Engine::start();
    let id = engine.run("", &["sleep", "60"], check(json!(["CMD-SHELL", "test -e /tmp/ok"])));
    let health = status_becomes(&engine, &id, "unhealthy");
    assert!(health["FailingStreak"].as_i64().is_some_and(|streak| streak >= 2), "{health}");
    engine.cli(&["exec", &id, "touch", "/tmp/ok"]).ok();
    status_becomes(&engine, &id, "healthy");
}

#[test]
fn a_check_that_hangs_is_a_failure() {
    let engine = Engine::start();
    let mut settings = check(json!(["CMD", "sleep", "60"]));
    settings["Healthcheck"]["Timeout"] = json!(200 * MS);
    let id = engine.run("", &["sleep", "60"], settings);
    let health = status_becomes(&engine, &id, "unhealthy");
    assert!(health["Log"][0]["Output"].as_str().is_some_and(|text| text.contains("exceeded timeout")), "{health}");
}

#[test]
fn none_turns_it_off() {
    let engine = Engine::start();
    let id = engine.run("", &["sleep", "60"], check(json!(["NONE"])));
    assert!(
        engine.inspect(&id)["State"]["Health"].is_null() || engine.inspect(&id)["State"]["Health"]["Status"] == "none"
    );
}
