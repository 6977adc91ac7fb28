//! Restart policies.

use berth_blackbox::{Engine, eventually};
use serde_json::{Value, json};

fn policy(name: &str, retries: i64) -> Value {
    json!({"HostConfig": {"RestartPolicy": {"Name": name, "MaximumRetryCount": retries}}})
}

#[test]
fn on_failure_tries_as_often_as_it_was_told() {
    let engine = Engine::start();
    let id = engine.run("", &["sh", "-c", "echo run; exit 1"], policy("on-failure", 2));
    eventually("both retries", 15, || {
        let inspect = engine.inspect(&id);
        (inspect["RestartCount"] == 2 && inspect["State"]["Status"] == "exited").then_some(())
    });
    assert_eq!(engine.logs(&id).0, "run\nrun\nrun\n");
    let fine = engine.run("", &["true"], policy("on-failure", 2));
    engine.wait(&fine);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(engine.inspect(&fine)["RestartCount"], 0, "success is no failure");
}

#[test]
fn always_restarts_until_it_is_stopped() {
    let engine = Engine::start();
    let id = engine.run("", &["sh", "-c", "sleep 0.1"], policy("always", 0));
    eventually("three restarts", 20, || engine.inspect(&id)["RestartCount"].as_i64().filter(|count| *count >= 3));
    engine.http().post(&format!("/containers/{id}/stop?t=0"));
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(engine.inspect(&id)["State"]["Status"], "exited", "stop is respected");
}

#[test]
fn a_kill_from_outside_counts_as_failure() {
    let engine = Engine::start();
    let id = engine.run("", &["sleep", "60"], policy("unless-stopped", 0));
    let pid = engine.inspect(&id)["State"]["Pid"].as_u64().expect("a pid");
    berth_blackbox::engine::signal(u32::try_from(pid).expect("a pid"), "KILL");
    eventually("it runs again", 10, || {
        let state = engine.inspect(&id)["State"].clone();
        (state["Running"] == true && state["Pid"].as_u64() != Some(pid) && state["Pid"] != 0).then_some(())
    });
}

#[test]
fn bad_policies_are_refused() {
    let engine = Engine::start();
    for (name, retries) in [("sometimes", 0), ("always", 3), ("on-failure", -1)] {
        let mut body = policy(name, retries);
        body["Image"] = json!("busybox");
        let answer = engine.http().post_json("/containers/create", &body).expect(400);
        let message = answer.message().to_lowercase();
        assert!(message.contains("restart") || message.contains("retry"), "{name}: {message}");
    }
}

#[test]
fn update_changes_the_policy() {
    let engine = Engine::start();
    let id = engine.run("", &["sleep", "60"], json!({}));
    let body = json!({"RestartPolicy": {"Name": "always"}});
    engine.http().post_json(&format!("/containers/{id}/update"), &body).expect(200);
    assert_eq!(engine.inspect(&id)["HostConfig"]["RestartPolicy"]["Name"], "always");
}
