//! Hooks of the specification: all, in their order, with the container's state.

use std::path::PathBuf;

use serde_json::{Value, json};

use berth_blackbox::Bundle;

const POINTS: &[&str] = &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A shared place outside of the container, which its namespaces can see as well.
fn hook(point: &str, file: &str) -> Value {
    let script = format!("echo {point} $(cat) >> {file}");
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}])
}

fn with_hooks(bundle: &mut Bundle) -> PathBuf {
    let outside = bundle.path("hooks");
    for point in POINTS {
        let file = if *point == "startContainer" { "/hooks".to_owned() } else { outside.display().to_string() };
        bundle.spec["hooks"][*point] = hook(point, &file);
    }
    outside
}

#[test]
fn they_run_in_their_order_with_the_state() {
    let mut bundle = Bundle::new("cat /hooks > /seen; sleep 60");
    let outside = with_hooks(&mut bundle);
    let points =
        |text: &str| text.lines().map(|line| line.split(' ').next().unwrap_or("").to_owned()).collect::<Vec<_>>();
    let (made, log) = bundle.create(&[]);
    assert!(made, "{log}");
    let text = std::fs::read_to_string(&outside).expect("hooks ran");
    assert_eq!(points(&text), POINTS[..3]);
    let state: Value =
        serde_json::from_str(text.lines().nth(1).and_then(|line| line.split_once(' ')).expect("a state").1)
            .expect("JSON");
    assert_eq!((&state["id"], &state["status"]), (&json!(bundle.id()), &json!("creating")), "{state}");
    assert_eq!(state["pid"], bundle.state()["pid"]);
    bundle.call(&["start", &bundle.id()]).ok();
    berth_blackbox::eventually("the program", 10, || {
        bundle.inside("seen").metadata().is_ok_and(|f| f.len() > 0).then_some(())
    });
    let seen = std::fs::read_to_string(bundle.inside("seen")).expect("seen");
    assert!(seen.starts_with("startContainer "), "before the program, and inside: {seen}");
    bundle.call(&["kill", &bundle.id(), "KILL"]).ok();
    bundle.await_status("stopped");
    bundle.call(&["delete", &bundle.id()]).ok();
    let text = std::fs::read_to_string(&outside).expect("hooks ran");
    assert_eq!(points(&text)[3..], ["poststart", "poststop"]);
    assert!(text.lines().last().is_some_and(|line| line.contains("stopped")), "{text}");
}

#[test]
fn one_that_fails_stops_the_creation() {
    for point in ["createRuntime", "createContainer"] {
        let mut bundle = Bundle::new("true");
        bundle.spec["hooks"][point] = json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo broken >&2; exit 3"]}]);
        let (made, log) = bundle.create(&[]);
        assert!(!made, "{point}");
        assert!(log.contains("hook #0") && log.contains("broken"), "{point}: {log}");
        bundle.call(&["state", &bundle.id()]).fails("does not exist");
    }
}

#[test]
fn one_that_hangs_is_ended() {
    let mut bundle = Bundle::new("true");
    bundle.spec["hooks"]["createRuntime"] = json!([{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}]);
    let begun = std::time::Instant::now();
    assert!(!bundle.create(&[]).0);
    assert!(begun.elapsed().as_secs() < 20);
}
