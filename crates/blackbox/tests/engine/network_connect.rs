//! Networks of a user's own: containers come and go while they run, and know where they are.

use berth_blackbox::{Engine, eventually};
use serde_json::{Value, json};

fn create(engine: &Engine, name: &str, more: Value) -> Value {
    let mut body = json!({"Name": name});
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    engine.http().post_json("/networks/create", &body).expect(201);
    engine.http().get(&format!("/networks/{name}")).expect(200).json()
}

fn connect(engine: &Engine, network: &str, container: &str, endpoint: Value) -> berth_blackbox::http::Response {
    let body = json!({"Container": container, "EndpointConfig": endpoint});
    engine.http().post_json(&format!("/networks/{network}/connect"), &body)
}

fn disconnect(engine: &Engine, network: &str, container: &str) -> berth_blackbox::http::Response {
    engine.http().post_json(&format!("/networks/{network}/disconnect"), &json!({"Container": container}))
}

fn inside(engine: &Engine, container: &str, script: &str) -> String {
    engine.cli(&["exec", container, "sh", "-c", script]).text()
}

/// Removes containers, and the networks that nobody uses then.
fn clear(engine: &Engine, containers: &[&str]) {
    for name in containers {
        engine.http().delete(&format!("/containers/{name}?force=1")).expect(204);
    }
    engine.http().post("/networks/prune").expect(200);
}

const WEB: &str = "mkdir -p /www; echo web > /www/index.html; exec httpd -f -p 80 -h /www";

#[test]
fn a_running_container_joins_and_leaves() {
    let engine = Engine::start();
    create(&engine, "front", json!({"IPAM": {"Config": [{"Subnet": "10.71.0.0/24"}]}}));
    engine.run("web", &["sh", "-c", WEB], json!({}));
    let wish =
        json!({"IPAMConfig": {"IPv4Address": "10.71.0.9"}, "Aliases": ["shop"], "MacAddress": "02:00:00:00:71:09"});
    connect(&engine, "front", "web", wish).expect(200);
    let links = inside(&engine, "web", "ip addr");
    assert!(links.contains("10.71.0.9/24") && links.contains("02:00:00:00:71:09"), "{links}");
    let shown = engine.inspect("web")["NetworkSettings"]["Networks"]["front"].clone();
    assert_eq!((&shown["IPAddress"], &shown["Aliases"]), (&json!("10.71.0.9"), &json!(["shop"])));
    assert_eq!(shown["Gateway"], "10.71.0.1");
    let network = engine.http().get("/networks/front").json();
    let on_it: Vec<&Value> = network["Containers"].as_object().unwrap().values().collect();
    assert_eq!((on_it.len(), &on_it[0]["IPv4Address"]), (1, &json!("10.71.0.9/24")));
    assert!(inside(&engine, "web", "cat /etc/hosts").contains("10.71.0.9"));
    let again = connect(&engine, "front", "web", json!({}));
    assert!(again.status >= 400 && again.message().contains("already exists"), "{}", again.message());
    let remove = engine.http().delete("/networks/front");
    assert_eq!(remove.status, 403, "{}", remove.message());
    disconnect(&engine, "front", "web").expect(200);
    assert!(!inside(&engine, "web", "ip addr").contains("10.71.0"));
    assert!(!inside(&engine, "web", "cat /etc/hosts").contains("10.71.0.9"));
    let absent = disconnect(&engine, "front", "web");
    assert!(absent.message().contains("is not connected to"), "{}", absent.message());
    engine.http().delete("/networks/front").expect(204);
}

#[test]
fn a_stopped_container_joins_at_its_next_start() {
    let engine = Engine::start();
    create(&engine, "front", json!({}));
    create(&engine, "back", json!({}));
    engine.create("idle", &["sleep", "600"], json!({"HostConfig": {"NetworkMode": "front"}}));
    connect(&engine, "back", "idle", json!({"GwPriority": 7})).expect(200);
    engine.http().post("/containers/idle/start").expect(204);
    let networks = engine.inspect("idle")["NetworkSettings"]["Networks"].clone();
    assert_eq!(networks.as_object().unwrap().len(), 2);
    let gateway = networks["back"]["Gateway"].as_str().unwrap().to_owned();
    let routes = inside(&engine, "idle", "ip route");
    assert!(routes.contains(&format!("default via {gateway}")), "the priority decides: {routes}");
    engine.http().post("/containers/idle/stop?t=0").expect(204);
    disconnect(&engine, "back", "idle").expect(200);
    engine.http().post("/containers/idle/start").expect(204);
    assert_eq!(engine.inspect("idle")["NetworkSettings"]["Networks"].as_object().unwrap().len(), 1);
    clear(&engine, &["idle"]);
}

#[test]
fn modes_of_others_cannot_be_joined() {
    let engine = Engine::start();
    create(&engine, "front", json!({}));
    engine.run("bare", &["sleep", "600"], json!({"HostConfig": {"NetworkMode": "none"}}));
    engine.run("plain", &["sleep", "600"], json!({}));
    engine.run("guest", &["sleep", "600"], json!({"HostConfig": {"NetworkMode": "container:plain"}}));
    for (network, container) in [("front", "bare"), ("front", "guest"), ("host", "plain"), ("none", "plain")] {
        let answer = connect(&engine, network, container, json!({}));
        assert!((400..500).contains(&answer.status), "{network} {container}: {} {}", answer.status, answer.message());
    }
    assert_eq!(connect(&engine, "nowhere", "plain", json!({})).status, 404);
    assert_eq!(connect(&engine, "front", "nobody", json!({})).status, 404);
    let wish = json!({"IPAMConfig": {"IPv4Address": "192.0.2.1"}});
    assert_eq!(connect(&engine, "front", "plain", wish).status, 400);
    assert!(!inside(&engine, "plain", "ip addr").contains("eth1"), "nothing is left of what was refused");
}

#[test]
fn both_families_by_the_own_client() {
    let engine = Engine::start();
    engine
        .berth(&["network", "create", "--ipv6", "--label", "a=b", "-o", "com.docker.network.driver.mtu=1400", "six"])
        .ok();
    let listed =
        engine.berth(&["network", "ls", "--filter", "label=a", "--format", "{{.Name}} {{.Driver}} {{.IPv6}}"]).ok();
    assert_eq!(listed.trim(), "six bridge true");
    engine.run(
        "web",
        &["sh", "-c", "mkdir -p /www; echo web > /www/index.html; exec httpd -f -p [::]:80 -h /www"],
        json!({"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"NetworkMode": "six",
            "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}}),
    );
    let shown = engine.inspect("web")["NetworkSettings"]["Networks"]["six"].clone();
    let ipv6 = shown["GlobalIPv6Address"].as_str().unwrap();
    assert!(ipv6.starts_with("fd") && shown["GlobalIPv6PrefixLen"] == 64, "{shown}");
    assert!(inside(&engine, "web", "ip link show eth0").contains("mtu 1400"));
    let probe = env!("CARGO_BIN_EXE_probe");
    for at in ["127.0.0.1:8080", "[::1]:8080"] {
        eventually(at, 5, || Some(engine.host(&[probe, "http", at])).filter(|output| output.text().contains("web")));
    }
    engine.berth(&["network", "create", "other"]).ok();
    engine.berth(&["network", "connect", "--alias", "x", "other", "web"]).ok();
    engine.berth(&["network", "disconnect", "other", "web"]).ok();
    let pruned = engine.berth(&["network", "prune", "-f"]).ok();
    assert!(pruned.contains("other") && !pruned.contains("six"), "{pruned}");
    assert!(engine.berth(&["network", "rm", "six"]).text().is_empty(), "one in use stays");
    clear(&engine, &["web"]);
}

#[test]
fn ports_of_a_running_container_come_and_go() {
    let engine = Engine::start();
    engine.run(
        "web",
        &["sh", "-c", WEB],
        json!({"ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}}),
    );
    let probe = env!("CARGO_BIN_EXE_probe");
    let fetch = |at: &str| engine.host(&[probe, "http", at]).text().contains("web");
    eventually("it answers", 5, || fetch("127.0.0.1:8080").then_some(()));
    engine.berth(&["update", "--publish-add", "8081:80", "--publish-rm", "8080:80", "web"]).ok();
    assert!(fetch("127.0.0.1:8081") && !fetch("127.0.0.1:8080"));
    let ports = engine.berth(&["port", "web"]).ok();
    assert!(ports.contains("0.0.0.0:8081") && !ports.contains("8080"), "{ports}");
    engine.berth(&["update", "--publish-rm", "9999:80", "web"]).fails("is not published so");
    engine.run("other", &["sleep", "600"], json!({}));
    engine.berth(&["update", "--publish-add", "8081:80", "other"]).fails("held by container web");
    engine.http().post("/containers/web/restart?t=0").expect(204);
    eventually("the change outlives a restart", 5, || fetch("127.0.0.1:8081").then_some(()));
}

#[test]
fn pools_are_used_up_with_a_clear_error() {
    let engine = Engine::start_with(&["--default-address-pool", "base=10.99.0.0/24,size=28"]);
    let mut names = Vec::new();
    for number in 0..20 {
        let answer = engine.http().post_json("/networks/create", &json!({"Name": format!("small{number}")}));
        if answer.status != 201 {
            assert!(answer.message().contains("fully subnetted"), "{}", answer.message());
            break;
        }
        names.push(format!("small{number}"));
    }
    // The default bridge has one of the sixteen.
    assert_eq!(names.len(), 15);
    let overlap = json!({"Name": "over", "IPAM": {"Config": [{"Subnet": "10.99.0.64/27"}]}});
    let answer = engine.http().post_json("/networks/create", &overlap);
    assert!(answer.status == 403 && answer.message().contains("overlaps"), "{}", answer.message());
    engine.http().post("/networks/prune").expect(200);
}

#[test]
fn speed_is_limited_by_flag() {
    let engine = Engine::start();
    let line =
        ["run", "--rm", "--net-rate-in", "20m", "--net-rate-out", "10m", "busybox", "ip", "link", "show", "eth0"];
    assert!(engine.berth(&line).ok().contains("qdisc tbf"));
    engine.berth(&["run", "--rm", "--net-rate-in", "fast", "busybox", "true"]).fails("no rate in bits per second");
    engine
        .berth(&["run", "--rm", "--network", "host", "--net-rate-in", "1m", "busybox", "true"])
        .fails("conflicting options");
}
