//! From `create` to `delete`.

use berth_blackbox::Bundle;
use serde_json::{Value, json};

#[test]
fn a_container_is_made_started_stopped_and_deleted_by_different_calls() {
    let bundle = Bundle::new("echo begun > /begun; echo said; exec sleep 60");
    let id = bundle.id();
    let (made, log) = bundle.create(&["--pid-file", &bundle.path("pid").display().to_string()]);
    assert!(made, "{log}{}", bundle.output());
    let state = bundle.state();
    assert_eq!((state["status"].as_str(), state["id"].as_str()), (Some("created"), Some(id.as_str())), "{state}");
    assert_eq!(state["pid"].to_string(), std::fs::read_to_string(bundle.path("pid")).expect("the pid file"));
    assert!(!bundle.inside("begun").exists(), "the program waits for start");
    bundle.call(&["start", &id]).ok();
    bundle.await_status("running");
    berth_blackbox::eventually("the program", 10, || bundle.inside("begun").exists().then_some(()));
    bundle.call(&["start", &id]).fails("cannot start an already running container");
    bundle.call(&["delete", &id]).fails("is not stopped");
    bundle.call(&["kill", &id, "KILL"]).ok();
    bundle.await_status("stopped");
    assert_eq!(bundle.state()["pid"], json!(0));
    bundle.call(&["kill", &id, "KILL"]).fails("container not running");
    bundle.call(&["delete", &id]).ok();
    bundle.call(&["state", &id]).fails("does not exist");
    bundle.call(&["delete", &id]).fails("does not exist");
    bundle.call(&["delete", "--force", &id]).ok();
    assert_eq!(bundle.output(), "said\n");
}

#[test]
fn a_created_container_can_be_killed_and_deleted() {
    let bundle = Bundle::new("true");
    assert!(bundle.create(&[]).0);
    bundle.call(&["exec", &bundle.id(), "/bin/echo", "early"]).ok();
    bundle.call(&["kill", &bundle.id(), "9"]).ok();
    bundle.await_status("stopped");
    bundle.call(&["start", &bundle.id()]).fails("cannot start a container that has stopped");
    bundle.call(&["delete", &bundle.id()]).ok();
}

#[test]
fn run_gives_output_and_exit_code() {
    let bundle = Bundle::new("echo out; echo err >&2; exit 7");
    let output = bundle.run();
    assert_eq!(output.code(7), "out");
    assert!(output.stderr.contains("err"), "{}", output.stderr);
    bundle.call(&["state", &bundle.id()]).fails("does not exist");
}

#[test]
fn names_are_checked_and_taken_once() {
    let bundle = Bundle::new("sleep 60");
    assert!(bundle.create(&[]).0);
    let (made, log) = bundle.create(&[]);
    assert!(!made && log.contains("exists"), "{log}");
    for id in ["../x", "a/b", "a b", ""] {
        bundle.call(&["state", id]).fails("");
    }
}

#[test]
fn what_cannot_be_made_leaves_nothing_and_is_told_in_the_log() {
    let mut bundle = Bundle::new("true");
    bundle.spec["process"]["args"] = json!(["nosuch"]);
    let (made, log) = bundle.create(&[]);
    assert!(!made);
    let last: Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["level"], "error");
    assert!(last["msg"].as_str().is_some_and(|text| text.contains("executable file not found in $PATH")), "{last}");
    bundle.call(&["state", &bundle.id()]).fails("does not exist");
}

#[test]
fn a_container_is_paused_and_goes_on() {
    let bundle = Bundle::new("sleep 60");
    assert!(bundle.create(&[]).0);
    let id = bundle.id();
    bundle.call(&["start", &id]).ok();
    bundle.call(&["pause", &id]).ok();
    assert_eq!(bundle.status(), "paused");
    bundle.call(&["exec", &id, "true"]).fails("paused");
    bundle.call(&["resume", &id]).ok();
    assert_eq!(bundle.status(), "running");
    let pids: Vec<i64> = serde_json::from_str(&bundle.call(&["ps", "--format", "json", &id]).ok()).expect("JSON");
    assert!(pids.contains(&bundle.state()["pid"].as_i64().expect("a pid")), "{pids:?}");
    assert!(bundle.call(&["ps", &id]).ok().contains("sleep 60"));
    assert_eq!(bundle.call(&["list", "-q"]).ok(), id);
    let listed: Value = serde_json::from_str(&bundle.call(&["list", "--format", "json"]).ok()).expect("JSON");
    assert_eq!(listed[0]["status"], "running");
}

#[test]
fn limits_are_set_changed_and_read() {
    let mut bundle = Bundle::new("sleep 60");
    bundle.spec["linux"]["resources"]["pids"] = json!({"limit": 50});
    assert!(bundle.create(&[]).0);
    let id = bundle.id();
    bundle.call(&["start", &id]).ok();
    let limit = |bundle: &Bundle| {
        let text = bundle.call(&["events", "--stats", &id]).ok();
        let event: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(event["type"], "stats");
        event["data"]["pids"]["limit"].as_i64()
    };
    assert_eq!(limit(&bundle), Some(50));
    bundle.call(&["update", "--pids-limit", "60", &id]).ok();
    assert_eq!(limit(&bundle), Some(60));
    std::fs::write(bundle.path("limits"), r#"{"pids": {"limit": 70}}"#).expect("a file");
    bundle.call(&["update", "-r", &bundle.path("limits").display().to_string(), &id]).ok();
    assert_eq!(limit(&bundle), Some(70));
}

#[test]
fn features_say_what_there_is() {
    let bundle = Bundle::new("true");
    let features: Value = serde_json::from_str(&bundle.call(&["features"]).ok()).expect("JSON");
    assert!(features["linux"]["namespaces"].as_array().is_some_and(|list| list.contains(&json!("user"))));
    assert!(bundle.call(&["--version"]).ok().contains("spec: 1."));
}
