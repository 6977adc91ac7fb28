//! The stream of events.

use berth_blackbox::workload::escape;
use berth_blackbox::{Engine, Http};
use serde_json::{Value, json};

/// Events from the start until now.
fn events(http: &Http, filters: &str) -> Vec<Value> {
    let path = format!("/events?since=0&until={}&filters={}", now(), escape(filters));
    let text = http.get(&path).expect(200).text();
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect()
}

fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

#[test]
fn a_life_is_told_in_order() {
    let engine = Engine::start();
    let id = engine.run("it", &["sh", "-c", "exit 3"], json!({"Labels": {"tier": "web"}}));
    engine.wait(&id);
    engine.http().delete("/containers/it").expect(204);
    let events = events(&engine.http(), "{\"container\":[\"it\"],\"type\":[\"container\"]}");
    let actions: Vec<&str> = events.iter().filter_map(|event| event["Action"].as_str()).collect();
    assert_eq!(actions, ["create", "start", "die", "destroy"]);
    let die = &events[2];
    assert_eq!(
        (die["Type"].as_str(), die["Actor"]["ID"].as_str(), die["scope"].as_str()),
        (Some("container"), Some(id.as_str()), Some("local"))
    );
    let attributes = &die["Actor"]["Attributes"];
    assert_eq!(
        (
            attributes["exitCode"].as_str(),
            attributes["name"].as_str(),
            attributes["image"].as_str(),
            attributes["tier"].as_str()
        ),
        (Some("3"), Some("it"), Some("busybox"), Some("web"))
    );
    assert!(die["timeNano"].as_u64().is_some_and(|nano| nano / 1_000_000_000 == die["time"].as_u64().unwrap_or(0)));
}

#[test]
fn events_arrive_while_one_listens() {
    let engine = Engine::start();
    let (status, mut stream) = engine.http().stream("GET", "/events", &json!(null));
    assert_eq!(status, 200);
    engine.create("it", &["true"], json!({}));
    stream.until("\"create\"");
    engine.http().post("/images/busybox/tag?repo=other&tag=1").expect(201);
    stream.until("\"tag\"");
    engine.http().post_json("/volumes/create", &json!({"Name": "vol"})).expect(201);
    stream.until("\"volume\"");
    engine.http().delete("/volumes/vol").expect(204);
}

#[test]
fn kills_stops_pauses_and_execs_are_told() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    engine.http().post("/containers/it/pause").expect(204);
    engine.http().post("/containers/it/unpause").expect(204);
    engine.cli(&["exec", "it", "true"]).ok();
    engine.http().post("/containers/it/rename?name=new").expect(204);
    engine.http().post("/containers/new/stop?t=0").expect(204);
    let events = events(&engine.http(), "{\"type\":[\"container\"]}");
    let actions: Vec<&str> = events.iter().filter_map(|event| event["Action"].as_str()).map(str::trim).collect();
    for action in
        ["pause", "unpause", "exec_create: true", "exec_start: true", "exec_die", "rename", "kill", "die", "stop"]
    {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
}

#[test]
fn filters_choose() {
    let engine = Engine::start();
    engine.create("one", &["true"], json!({"Labels": {"a": "b"}}));
    engine.create("two", &["true"], json!({}));
    assert_eq!(events(&engine.http(), "{\"label\":[\"a=b\"],\"event\":[\"create\"]}").len(), 1);
    assert_eq!(events(&engine.http(), "{\"event\":[\"create\"],\"type\":[\"container\"]}").len(), 2);
    assert_eq!(events(&engine.http(), "{\"type\":[\"volume\"]}").len(), 0);
}
