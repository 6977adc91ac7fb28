//! Names on networks of a user's own.

use berth_blackbox::{Engine, Kind, eventually, skip};
use serde_json::{Value, json};

fn network(engine: &Engine, name: &str, settings: Value) {
    let mut body = json!({"Name": name});
    body.as_object_mut().expect("an object").extend(settings.as_object().expect("an object").clone());
    engine.http().post_json("/networks/create", &body).expect(201);
}

fn on(network: &str, aliases: &[&str]) -> Value {
    json!({"HostConfig": {"NetworkMode": network}, "NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": aliases}}}})
}

fn run(engine: &Engine, name: &str, network: &str, aliases: &[&str]) -> String {
    engine.run(name, &["sleep", "600"], on(network, aliases))
}

/// Takes away what the test made.
fn clear(engine: &Engine, networks: &[&str]) {
    for container in engine.cli(&["ps", "-aq"]).ok().lines() {
        engine.http().delete(&format!("/containers/{container}?force=1")).expect(204);
    }
    for network in networks {
        engine.http().delete(&format!("/networks/{network}")).expect(204);
    }
}

/// What a container learns about a name; empty when it learns nothing.
fn look_up(engine: &Engine, container: &str, name: &str) -> Vec<String> {
    let output = engine.cli(&["exec", container, "nslookup", name]);
    let text = output.text();
    let answer = text.split_once("\n\n").map_or("", |(_, answer)| answer);
    let mut found: Vec<String> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("Address"))
        .filter_map(|rest| rest.rsplit(' ').next().map(str::to_owned))
        .filter(|address| !address.contains("127.0.0.11"))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn address(engine: &Engine, container: &str, network: &str) -> String {
    let shown = engine.inspect(container);
    shown["NetworkSettings"]["Networks"][network]["IPAddress"].as_str().expect("an address").to_owned()
}

#[test]
fn containers_find_each_other_by_every_name() {
    let engine = Engine::start();
    network(&engine, "back", json!({}));
    network(&engine, "other", json!({}));
    run(&engine, "db", "back", &["store", "shared"]);
    run(&engine, "db2", "back", &["shared"]);
    run(&engine, "secret", "other", &[]);
    let asking = run(&engine, "web", "back", &[]);
    let (first, second) = (address(&engine, "db", "back"), address(&engine, "db2", "back"));
    for name in ["db", "store", "db.back", "DB"] {
        assert_eq!(look_up(&engine, &asking, name), [first.as_str()], "{name}");
    }
    let mut both = vec![first.clone(), second];
    both.sort();
    assert_eq!(look_up(&engine, &asking, "shared"), both);
    assert!(look_up(&engine, &asking, "secret").is_empty(), "a name of another network");
    let text = engine.cli(&["exec", &asking, "nslookup", &first]).text();
    assert!(text.contains("db.back"), "{text}");
    let conf = engine.cli(&["exec", &asking, "cat", "/etc/resolv.conf"]).ok();
    assert!(conf.contains("nameserver 127.0.0.11") && conf.contains("ndots:0"), "{conf}");
    assert_eq!(engine.cli(&["exec", &asking, "ping", "-c", "1", "-W", "2", "db"]).code, 0);
    clear(&engine, &["back", "other"]);
}

#[test]
fn names_come_and_go_with_containers_and_connections() {
    let engine = Engine::start();
    network(&engine, "back", json!({}));
    let asking = run(&engine, "web", "back", &[]);
    assert!(look_up(&engine, &asking, "late").is_empty());
    run(&engine, "late", "back", &[]);
    assert_eq!(look_up(&engine, &asking, "late"), [address(&engine, "late", "back")]);
    engine.http().post_json("/containers/late/rename?name=later", &json!({})).expect(204);
    eventually("the new name", 5, || (!look_up(&engine, &asking, "later").is_empty()).then_some(()));
    assert!(look_up(&engine, &asking, "late").is_empty());
    engine.http().delete("/containers/later?force=1").expect(204);
    eventually("the end of the name", 5, || look_up(&engine, &asking, "later").is_empty().then_some(()));
    engine.run("plain", &["sleep", "600"], json!({}));
    engine.http().post_json("/networks/back/connect", &json!({"Container": "plain"})).expect(200);
    eventually("a connected container", 5, || (!look_up(&engine, &asking, "plain").is_empty()).then_some(()));
    clear(&engine, &["back"]);
}

#[test]
fn names_are_known_while_the_daemon_is_down() {
    let mut engine = Engine::start();
    if engine.kind() != Kind::Berth {
        skip!("dockerd answers names itself");
    }
    network(&engine, "back", json!({}));
    let script = "while true; do nslookup db >/tmp/new 2>&1; mv /tmp/new /tmp/last; sleep 0.1; done";
    let asking = engine.run("web", &["sh", "-c", script], on("back", &[]));
    run(&engine, "db", "back", &[]);
    let db = address(&engine, "db", "back");
    let pid = engine.inspect(&asking)["State"]["Pid"].as_i64().expect("a pid");
    let last = format!("/proc/{pid}/root/tmp/last");
    let known = || std::fs::read_to_string(&last).is_ok_and(|text| text.contains(&db)).then_some(());
    eventually("the name", 10, known);
    engine.kill_daemon();
    std::thread::sleep(std::time::Duration::from_millis(300));
    std::fs::remove_file(&last).ok();
    eventually("the name without a daemon", 10, known);
    engine.start_daemon();
    run(&engine, "new", "back", &[]);
    assert_eq!(look_up(&engine, &asking, "new"), [address(&engine, "new", "back")]);
    clear(&engine, &["back"]);
}

#[test]
fn a_resolver_that_is_killed_comes_back() {
    let engine = Engine::start();
    if engine.kind() != Kind::Berth {
        skip!("dockerd answers names itself");
    }
    network(&engine, "back", json!({}));
    let asking = run(&engine, "web", "back", &[]);
    run(&engine, "db", "back", &[]);
    let folder = engine.place().join("run/dns").display().to_string();
    let ours = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&folder)
    };
    let all = std::fs::read_dir("/proc").expect("/proc").flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    let resolver = all.collect::<Vec<i32>>().into_iter().find(ours).expect("a resolver runs");
    assert!(std::process::Command::new("kill").args(["-9", &resolver.to_string()]).status().expect("kill").success());
    eventually("names again", 10, || (look_up(&engine, &asking, "db").len() == 1).then_some(()));
    clear(&engine, &["back"]);
}

#[test]
fn other_names_are_asked_of_the_given_server_and_never_from_an_internal_network() {
    let engine = Engine::start();
    network(&engine, "open", json!({}));
    network(&engine, "closed", json!({"Internal": true}));
    let probe = env!("CARGO_BIN_EXE_probe");
    let mut settings = on("open", &[]);
    settings["HostConfig"]["Binds"] = json!([format!("{probe}:/probe:ro")]);
    let server = engine.run("server", &["/probe", "names", "10.9.8.7"], settings);
    let at = address(&engine, &server, "open");
    let mut settings = on("open", &[]);
    settings["HostConfig"]["Dns"] = json!([at]);
    let asking = engine.run("asking", &["sleep", "600"], settings);
    eventually("the server's answer", 10, || (look_up(&engine, &asking, "example.com") == ["10.9.8.7"]).then_some(()));
    assert_eq!(look_up(&engine, &asking, "server"), [at.as_str()], "own names come first");
    let mut settings = on("closed", &[]);
    settings["HostConfig"]["Dns"] = json!([at]);
    let closed = engine.run("closed", &["sleep", "600"], settings);
    assert!(look_up(&engine, &closed, "example.com").is_empty());
    clear(&engine, &["open", "closed"]);
}

/// A link is a name that only the container with the link knows.
#[test]
fn links_are_known_to_those_who_have_them() {
    let engine = Engine::start();
    network(&engine, "back", json!({}));
    run(&engine, "db", "back", &[]);
    engine
        .cli(&["run", "-d", "--name", "linked", "--network", "back", "--link", "db:store", "busybox", "sleep", "600"])
        .ok();
    run(&engine, "plain", "back", &[]);
    let wanted = address(&engine, "db", "back");
    assert_eq!(look_up(&engine, "linked", "store"), [wanted.as_str()]);
    assert_eq!(look_up(&engine, "linked", "db"), [wanted.as_str()]);
    assert_eq!(look_up(&engine, "plain", "store"), [""; 0]);
    engine.cli(&["network", "create", "side"]).ok();
    engine.cli(&["network", "connect", "side", "db"]).ok();
    engine.cli(&["network", "connect", "--link", "db:cellar", "side", "plain"]).ok();
    assert_eq!(look_up(&engine, "plain", "cellar"), [address(&engine, "db", "side")]);
    // On the default bridge they are lines of the hosts file.
    engine.run("older", &["sleep", "600"], json!({}));
    let (_, hosts) = engine.run_to_end(&["cat", "/etc/hosts"], json!({"HostConfig": {"Links": ["older:alias"]}}));
    let line = hosts.lines().find(|line| line.contains("alias")).unwrap_or_default();
    assert!(line.starts_with(&address(&engine, "older", "bridge")) && line.contains("older"), "{hosts}");
    clear(&engine, &["back", "side"]);
}
