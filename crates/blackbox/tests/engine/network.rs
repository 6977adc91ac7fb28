//! The default network: addresses, published ports, none, host, container:ID.

use berth_blackbox::{Engine, eventually};
use serde_json::{Value, json};

/// The suite's own program, see src/bin/probe.rs.
const PROBE: &str = env!("CARGO_BIN_EXE_probe");

/// A container that answers HTTP on port 80 with its name, published on `host_port` (0: any).
fn serve(engine: &Engine, name: &str, host_port: u16) -> String {
    let script = format!("mkdir -p /www && echo {name} > /www/index.html && exec httpd -f -p 80 -h /www");
    engine.run(name, &["sh", "-c", &script], publish("80/tcp", json!([{"HostPort": host_port.to_string()}])))
}

/// Settings that publish a port as clients do: exposed, and bound.
fn publish(port: &str, bindings: Value) -> Value {
    json!({"ExposedPorts": {port: {}}, "HostConfig": {"PortBindings": {port: bindings}}})
}

/// The body that the host gets from an address.
fn fetch(engine: &Engine, address: &str) -> Option<String> {
    let output = engine.host(&[PROBE, "http", address]);
    (output.code == 0).then(|| output.text().trim().to_owned())
}

/// A shell line that asks for a page with what BusyBox has.
fn ask(address: &str) -> String {
    format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} 80 | tail -n 1")
}

fn address(inspect: &Value) -> String {
    inspect["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_published_port_answers_on_localhost_and_on_the_hosts_addresses() {
    let engine = Engine::start();
    engine.host(&["ip", "addr", "add", "198.51.100.7/32", "dev", "lo"]).ok();
    serve(&engine, "web", 8080);
    for url in ["127.0.0.1:8080", "198.51.100.7:8080"] {
        eventually(url, 5, || fetch(&engine, url).filter(|body| body == "web"));
    }
    let ports = engine.inspect("web")["NetworkSettings"]["Ports"]["80/tcp"].clone();
    assert_eq!(ports[0], json!({"HostIp": "0.0.0.0", "HostPort": "8080"}));
    assert!(engine.cli(&["port", "web"]).ok().contains("80/tcp -> 0.0.0.0:8080"));
    assert!(engine.cli(&["ps", "--format", "{{.Ports}}"]).ok().contains("0.0.0.0:8080->80/tcp"));
    engine.http().post("/containers/web/stop?t=0").expect(204);
    eventually("the port is closed", 5, || fetch(&engine, "127.0.0.1:8080").is_none().then_some(()));
    engine.http().post("/containers/web/start").expect(204);
    eventually("the port is open again", 5, || fetch(&engine, "127.0.0.1:8080"));
}

#[test]
fn a_port_of_the_engines_choice_is_told() {
    let engine = Engine::start();
    serve(&engine, "web", 0);
    let port =
        engine.inspect("web")["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"].as_str().expect("a port").to_owned();
    assert!(port.parse::<u16>().is_ok_and(|port| port >= 1024), "{port}");
    eventually("it answers", 5, || fetch(&engine, &format!("127.0.0.1:{port}")));
}

#[test]
fn an_address_of_the_host_can_be_named() {
    let engine = Engine::start();
    engine.host(&["ip", "addr", "add", "198.51.100.7/32", "dev", "lo"]).ok();
    let settings = publish("80/tcp", json!([{"HostIp": "198.51.100.7", "HostPort": "8081"}]));
    engine.run("", &["sh", "-c", "mkdir /www; echo hi > /www/index.html; exec httpd -f -h /www"], settings);
    eventually("it answers there", 5, || fetch(&engine, "198.51.100.7:8081"));
    assert!(fetch(&engine, "127.0.0.1:8081").is_none(), "and nowhere else");
}

#[test]
fn a_port_in_use_is_an_error_and_leaves_nothing_half_made() {
    let engine = Engine::start();
    serve(&engine, "first", 8080);
    let settings = publish("80/tcp", json!([{"HostPort": "8080"}]));
    let id = engine.create("second", &["sleep", "60"], settings);
    let answer = engine.http().post(&format!("/containers/{id}/start"));
    assert!(answer.status >= 400 && answer.message().contains("8080"), "{} {}", answer.status, answer.text());
    assert!(["created", "exited"].contains(&engine.inspect(&id)["State"]["Status"].as_str().unwrap_or_default()));
    engine.http().delete("/containers/first?force=1").expect(204);
    engine.http().post(&format!("/containers/{id}/start")).expect(204);
}

#[test]
fn udp_ports_are_published_too() {
    let engine = Engine::start();
    let probe = std::fs::read(PROBE).expect("the probe");
    let mut archive = tar::Builder::new(Vec::new());
    berth_blackbox::busybox::file(&mut archive, "probe", &probe, 0o755);
    engine.import("probe:latest", &archive.into_inner().expect("memory"), &[]);
    let mut settings = publish("5353/udp", json!([{"HostPort": "5300"}]));
    settings["Image"] = json!("probe");
    engine.run("it", &["/probe", "udp-echo", "5353"], settings);
    eventually("a datagram and its answer", 10, || {
        let output = engine.host(&[PROBE, "udp-ask", "127.0.0.1:5300", "ping"]);
        (output.code == 0 && output.text().trim() == "ping").then_some(())
    });
}

#[test]
fn containers_reach_each_other_and_the_host_reaches_them() {
    let engine = Engine::start();
    serve(&engine, "web", 0);
    let ip = address(&engine.inspect("web"));
    assert!(!ip.is_empty());
    let url = format!("{ip}:80");
    eventually("the host reaches it", 5, || fetch(&engine, &url));
    let (code, text) = engine.run_to_end(&["sh", "-c", &ask(&ip)], json!({}));
    assert_eq!((code, text.as_str()), (0, "web\n"));
    let own = engine.inspect("web")["NetworkSettings"]["Networks"]["bridge"].clone();
    assert!(own["Gateway"].as_str().is_some_and(|gateway| !gateway.is_empty()), "{own}");
    assert!(own["MacAddress"].as_str().is_some_and(|mac| mac.len() == 17), "{own}");
}

#[test]
fn addresses_are_given_back() {
    // A subnet with room for five containers: the sixth start works only if addresses come back.
    let engine = Engine::start_with(&["--bip", "10.213.7.1/29"]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let ids: Vec<String> = (0..2).map(|_| engine.run("", &["sleep", "60"], json!({}))).collect();
        let addresses: Vec<String> = ids.iter().map(|id| address(&engine.inspect(id))).collect();
        assert!(addresses.iter().all(|address| !address.is_empty()));
        assert_ne!(addresses[0], addresses[1], "in use twice");
        seen.extend(addresses);
        for id in ids {
            engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
        }
    }
    assert!(seen.len() <= 5, "{seen:?}");
}

#[test]
fn none_has_only_loopback() {
    let engine = Engine::start();
    let (_, text) = engine.run_to_end(&["ls", "/sys/class/net"], json!({"HostConfig": {"NetworkMode": "none"}}));
    assert_eq!(text.split_whitespace().filter(|name| *name != "lo").count(), 0, "{text}");
    let (code, _) =
        engine.run_to_end(&["ping", "-c", "1", "-W", "1", "127.0.0.1"], json!({"HostConfig": {"NetworkMode": "none"}}));
    assert_eq!(code, 0, "loopback is up");
}

#[test]
fn host_mode_sees_the_hosts_addresses() {
    let engine = Engine::start();
    engine.host(&["ip", "addr", "add", "198.51.100.9/32", "dev", "lo"]).ok();
    let (_, text) = engine.run_to_end(&["ip", "-o", "addr"], json!({"HostConfig": {"NetworkMode": "host"}}));
    assert!(text.contains("198.51.100.9"), "{text}");
}

#[test]
fn container_mode_shares_the_link() {
    let engine = Engine::start();
    serve(&engine, "web", 0);
    let settings = json!({"HostConfig": {"NetworkMode": "container:web"}});
    let fetch = || engine.run_to_end(&["sh", "-c", &ask("127.0.0.1")], settings.clone());
    eventually("the shared loopback answers", 5, || Some(fetch()).filter(|(code, text)| *code == 0 && text == "web\n"));
    let body = json!({"Image": "busybox", "HostConfig": {"NetworkMode": "container:nobody"}});
    let answer = engine.http().post_json("/containers/create", &body);
    let id = answer.json()["Id"].as_str().unwrap_or("none").to_owned();
    let answer = if answer.status == 201 { engine.http().post(&format!("/containers/{id}/start")) } else { answer };
    // At create berth must not say 404: docker's client would take the image for missing and pull it.
    let expected = if engine.is_docker() { 404 } else { 400 };
    assert_eq!(answer.status, expected, "at create, or (20.10) at start: {}", answer.text());
    assert!(answer.message().contains("No such container: nobody"), "{}", answer.text());
}

#[test]
fn a_named_network_is_refused_clearly_when_it_does_not_exist() {
    let engine = Engine::start();
    let body = json!({"Image": "busybox", "HostConfig": {"NetworkMode": "nowhere"}});
    let answer = engine.http().post_json("/containers/create", &body);
    let answer = if answer.status == 201 {
        let id = answer.json()["Id"].as_str().expect("an id").to_owned();
        engine.http().post(&format!("/containers/{id}/start"))
    } else {
        answer
    };
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert!(answer.message().contains("network nowhere not found"), "{}", answer.text());
}

#[test]
fn link_names_and_routes_inside_are_dockers() {
    let engine = Engine::start();
    let (_, text) = engine.run_to_end(&["sh", "-c", "ip -o -4 addr show eth0; ip route"], json!({}));
    assert!(text.contains("eth0") && text.contains("default via "), "{text}");
}
