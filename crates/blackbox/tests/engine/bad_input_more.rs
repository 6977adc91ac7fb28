//! The rest of the malformed requests: every operation on containers, executions, images and the system, each refused by
//! the name of what is wrong; and what later versions of the API added.

use berth_blackbox::Engine;
use serde_json::{Value, json};

/// What later versions refuse and answer is not what Debian's dockerd does.
macro_rules! berth_only {
    ($engine:ident) => {
        if $engine.is_docker() {
            berth_blackbox::skip!("newer than Debian's dockerd");
        }
    };
}

/// (method and path, part of the message)
// tidy: table
const REQUESTS: &[(&str, &str)] = &[
    ("GET /containers/json?all=x", "all"),
    ("GET /containers/json?size=x", "size"),
    ("GET /containers/json?filters=%7B%22status%22:[%22x%22]%7D", "status=x"),
    ("GET /containers/json?filters=%7B%22exited%22:[%22x%22]%7D", "exited=x"),
    ("GET /containers/json?filters=%7B%22since%22:[%22x%22]%7D", "No such container: x"),
    ("GET /containers/json?filters=%7B%22health%22:[%22x%22]%7D", "health=x"),
    ("GET /containers/json?filters=%7B%22publish%22:[%22x%22]%7D", "publish=x"),
    ("GET /containers/json?filters=%7B%22colour%22:[%22x%22]%7D", "colour"),
    ("GET /containers/it/json?size=x", "size"),
    ("GET /containers/idle/top", "not running"),
    ("GET /containers/it/logs", "stream"),
    ("GET /containers/it/logs?stdout=x", "stdout"),
    ("GET /containers/it/logs?stdout=1&tail=x", "tail"),
    ("GET /containers/it/logs?stdout=1&until=x", "until"),
    ("GET /containers/it/logs?stdout=1&follow=x", "follow"),
    ("GET /containers/it/stats?stream=x", "stream"),
    ("GET /containers/it/archive", "path"),
    ("GET /containers/it/archive?path=/nope", "/nope"),
    ("POST /containers/it/resize?h=x&w=1", "h"),
    ("POST /containers/it/resize?h=99999999999&w=1", "h"),
    ("POST /containers/it/stop?signal=FOO", "FOO"),
    ("POST /containers/it/kill?signal=FOO", "FOO"),
    ("POST /containers/it/kill?signal=999", "999"),
    ("POST /containers/idle/kill", "not running"),
    ("POST /containers/it/rename", "name"),
    ("POST /containers/it/rename?name=-x", "-x"),
    ("POST /containers/it/rename?name=idle", "idle"),
    ("POST /containers/idle/pause", "not running"),
    ("POST /containers/it/unpause", "not paused"),
    ("POST /containers/it/attach?detachKeys=foo&stream=1", "detach"),
    ("POST /containers/it/wait?condition=x", "condition"),
    ("POST /containers/prune?filters=%7B%22colour%22:[%22x%22]%7D", "colour"),
    ("POST /containers/prune?filters=%7B%22until%22:[%22x%22]%7D", "x"),
    ("DELETE /containers/it", "running"),
    ("DELETE /containers/it?force=x", "force"),
    ("GET /exec/nope/json", "nope"),
    ("POST /exec/nope/start", "nope"),
    ("POST /exec/nope/resize?h=1&w=1", "nope"),
    ("GET /images/json?filters=%7B%22colour%22:[%22x%22]%7D", "colour"),
    ("GET /images/json?filters=%7B%22dangling%22:[%22x%22]%7D", "dangling"),
    ("GET /images/UPPER/json", "reference"),
    ("GET /images/nope/history", "nope"),
    ("GET /images/get?names=nope", "nope"),
    ("POST /images/create?fromImage=UPPER", "UPPER"),
    ("POST /images/create?fromImage=busybox&tag=a%20b", "reference"),
    ("POST /images/create?fromImage=busybox&platform=x/y/z/w", "platform"),
    ("POST /images/create?fromSrc=-&repo=UPPER", "UPPER"),
    ("POST /images/nope/tag?repo=x", "nope"),
    ("POST /images/busybox/tag", "repo"),
    ("POST /images/busybox/tag?repo=UPPER", "UPPER"),
    ("POST /images/busybox/push?tag=a%20b", "reference"),
    ("POST /images/prune?filters=%7B%22colour%22:[%22x%22]%7D", "colour"),
    ("DELETE /images/busybox?force=x", "force"),
    ("DELETE /images/nope", "nope"),
    ("POST /commit?container=nope", "nope"),
    ("POST /commit?container=it&repo=UPPER", "UPPER"),
    ("POST /commit?container=it&pause=x", "pause"),
    ("POST /commit?container=it&changes=BOGUS%20x", "BOGUS"),
    ("GET /events?until=x", "until"),
    ("GET /system/df?type=x", "x"),
];

/// (what, settings of a container, part of the message)
// tidy: table
fn containers() -> Vec<(&'static str, Value, &'static str)> {
    let host = |settings: Value| json!({"HostConfig": settings});
    vec![
        ("NUL in the command", json!({"Cmd": ["a\0b"]}), "Cmd"),
        ("NUL in the entry point", json!({"Entrypoint": ["a\0b"]}), "Entrypoint"),
        ("NUL in the user", json!({"User": "a\0b"}), "User"),
        ("a relative working directory", json!({"WorkingDir": "rel"}), "working directory"),
        ("a health test of no kind", json!({"Healthcheck": {"Test": ["FOO", "x"]}}), "FOO"),
        ("a health test without command", json!({"Healthcheck": {"Test": ["CMD"]}}), "Healthcheck"),
        ("a limit that is none", host(json!({"Ulimits": [{"Name": "foo", "Soft": 1, "Hard": 1}]})), "foo"),
        ("a soft limit above", host(json!({"Ulimits": [{"Name": "nofile", "Soft": 5, "Hard": 1}]})), "5 > 1"),
        ("a server that is no address", host(json!({"Dns": ["x"]})), "Dns"),
        ("a host without address", host(json!({"ExtraHosts": ["x"]})), "add-host"),
        ("a host whose address is none", host(json!({"ExtraHosts": ["a:zz"]})), "add-host"),
        ("a parent outside", host(json!({"CgroupParent": "../x"})), "CgroupParent"),
        ("a masked path that is relative", host(json!({"MaskedPaths": ["rel"]})), "MaskedPaths"),
        ("swap below none", host(json!({"Memory": 64 << 20, "MemorySwap": -2})), "MemorySwap"),
        ("a negative rate", host(json!({"BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": -5}]})), "Rea"),
        ("a volume at the root", host(json!({"Mounts": [{"Type": "volume", "Target": "/"}]})), "/"),
        ("a bind of a relative source", host(json!({"Binds": ["../x:/y"]})), "../x"),
    ]
}

#[test]
fn every_operation_refuses_by_name() {
    let engine = Engine::start();
    berth_only!(engine);
    engine.run("it", &["sleep", "60"], json!({}));
    engine.create("idle", &["true"], json!({}));
    let before = engine.look();
    let mut faults = Vec::new();
    for (request, part) in REQUESTS {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let answer = engine.http().request(method, path, &[], b"");
        if !(400..500).contains(&answer.status) || !answer.message().contains(part) {
            faults.push(format!("{request}: {} {}", answer.status, answer.text().trim()));
        }
    }
    for (what, mut body, part) in containers() {
        body["Image"] = "busybox".into();
        let answer = engine.http().post_json("/containers/create", &body);
        if answer.status != 400 || !answer.message().contains(part) {
            faults.push(format!("{what}: {} {}", answer.status, answer.text().trim()));
        }
    }
    for (body, part) in [
        (json!({"Cmd": ["a\0"]}), "Cmd"),
        (json!({"Cmd": ["x"], "Env": ["a\0=x"]}), "environment"),
        (json!({"Cmd": ["x"], "WorkingDir": "rel"}), "working directory"),
        (json!({"Cmd": ["x"], "DetachKeys": "foo"}), "detach"),
    ] {
        let answer = engine.http().post_json("/containers/it/exec", &body);
        if answer.status != 400 || !answer.message().contains(part) {
            faults.push(format!("exec of {body}: {} {}", answer.status, answer.text().trim()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let left = engine.look().beyond(&before);
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(engine.http().get("/containers/json?all=1").json().as_array().map(Vec::len), Some(2));
    assert_eq!(engine.http().get("/images/json").json().as_array().map(Vec::len), Some(1));
}

#[test]
fn archives_that_are_none_are_refused_and_leave_nothing() {
    let engine = Engine::start();
    berth_only!(engine);
    engine.create("idle", &["true"], json!({}));
    let before = engine.look();
    let garbage = b"garbage".repeat(200);
    for path in ["/images/load", "/images/create?fromSrc=-&repo=zz", "/build"] {
        let answer = engine.http().request("POST", path, &[("Content-Type", "application/x-tar")], &garbage);
        assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
        assert!(!answer.message().is_empty(), "{path}: {}", answer.text());
    }
    let answer = engine.http().request("PUT", "/containers/idle/archive?path=/tmp", &[], &garbage);
    assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.text());
    let left = engine.look().beyond(&before);
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(engine.http().get("/images/json").json().as_array().map(Vec::len), Some(1));
}

#[test]
fn a_platform_that_an_image_is_not_for_is_told_missing() {
    let engine = Engine::start();
    berth_only!(engine);
    let other = "%7B%22os%22:%22linux%22,%22architecture%22:%22s390x%22%7D";
    for request in [
        format!("GET /v1.55/images/busybox/json?platform={other}"),
        format!("GET /v1.55/images/busybox/history?platform={other}"),
        format!("GET /v1.55/images/busybox/get?platform={other}"),
        format!("GET /v1.55/images/get?names=busybox&platform={other}"),
        format!("DELETE /v1.55/images/busybox?platforms={other}"),
    ] {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let answer = engine.http().request(method, path, &[], b"").expect(404);
        assert!(answer.message().contains("linux/s390x"), "{request}: {}", answer.text());
    }
    let mut own = engine.http().get("/images/busybox/json").json();
    let own = json!({"os": "linux", "architecture": own["Architecture"].take()}).to_string();
    let own: String = own.bytes().map(|byte| format!("%{byte:02X}")).collect();
    engine.http().get(&format!("/v1.55/images/busybox/json?platform={own}")).expect(200);
    engine.http().get(&format!("/v1.55/images/busybox/json?platform={own}&manifests=1")).expect(400);
    let archive = engine.http().get("/images/get?names=busybox").expect(200).body;
    let tar = [("Content-Type", "application/x-tar")];
    let answer = engine.http().request("POST", &format!("/v1.55/images/load?platform={other}"), &tar, &archive);
    assert_eq!(answer.status, 404, "{}", answer.text());
    engine.http().request("POST", &format!("/v1.55/images/load?platform={own}"), &tar, &archive).expect(200);
    assert_eq!(engine.cli(&["history", "-q", "--platform", "linux/s390x", "busybox"]).code, 1);
}

#[test]
fn what_later_versions_added_is_answered() {
    let engine = Engine::start();
    berth_only!(engine);
    let http = engine.http();
    engine.run("it", &["sleep", "60"], json!({"HostConfig": {"Annotations": {"team": "blue"}}}));
    let listed = |filter: &str| {
        let filter: String = filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
        http.get(&format!("/v1.55/containers/json?filters={filter}")).expect(200).json().as_array().map(Vec::len)
    };
    assert_eq!(listed(r#"{"annotation":["team"]}"#), Some(1));
    assert_eq!(listed(r#"{"annotation":["team=blue"]}"#), Some(1));
    assert_eq!(listed(r#"{"annotation":["team=red"]}"#), Some(0));
    // The number of containers of each image, since 1.51; sums of disk usage, since 1.52, in whose place lists stood.
    assert_eq!(http.get("/v1.50/images/json").json()[0]["Containers"], -1);
    assert_eq!(http.get("/v1.51/images/json").json()[0]["Containers"], 1);
    for (version, lists, sums) in [("v1.51", true, false), ("v1.52", true, true), ("v1.53", false, true)] {
        let usage = http.get(&format!("/{version}/system/df")).expect(200).json();
        assert_eq!((usage["LayersSize"].is_u64(), usage["ImageUsage"].is_object()), (lists, sums), "{version}");
    }
    let network = http.get("/v1.52/networks/bridge").expect(200).json();
    let subnet = network["IPAM"]["Config"][0]["Subnet"].as_str().expect("a subnet");
    let status = &network["Status"]["IPAM"]["Subnets"][subnet];
    // The network's own address, the gateway's, the container's and the broadcast address.
    assert_eq!(status["IPsInUse"], 4, "{network}");
    assert!(status["DynamicIPsAvailable"].as_u64().is_some_and(|left| left > 200), "{network}");
    assert!(http.get("/v1.51/networks/bridge").json()["Status"].is_null());
    // The end of a second that has begun: what happened in it is before.
    let until = now() + 1;
    for (accept, first) in [("application/json-seq", 0x1e), ("application/jsonl", b'{'), ("text/html", b'{')] {
        let past = http.request("GET", &format!("/events?since=0&until={until}"), &[("Accept", accept)], b"");
        assert_eq!(past.body.first(), Some(&first), "{accept}: {}", past.text());
        let kind = if accept == "text/html" { "application/json" } else { accept };
        assert_eq!(past.header("content-type"), Some(kind));
    }
}

#[test]
fn what_is_taken_or_gone_is_one_sentence_that_says_what_to_do() {
    let engine = Engine::start();
    berth_only!(engine);
    let mut listener =
        engine.beside_the_daemon("busybox").args(["nc", "-l", "-p", "8099"]).spawn().expect("a listener");
    berth_blackbox::eventually("somebody listens", 10, || {
        engine.within(&["cat", "/proc/net/tcp", "/proc/net/tcp6"]).ok().contains(":1FA3 ").then_some(())
    });
    let before = engine.look();
    let publish = json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8099"}]}}});
    let id = engine.create("taken", &["true"], publish);
    let said = engine.http().post(&format!("/containers/{id}/start")).expect(500).message();
    assert!(said.contains("8099/tcp: Address already in use; publish another port"), "{said}");
    engine.http().delete("/containers/taken").expect(204);
    let left = engine.look().beyond(&before);
    assert!(left.is_empty(), "{left:?}");
    listener.kill().expect("it listens still");
    listener.wait().expect("it ends");
    // A layer that somebody has removed behind the engine's back.
    engine.create("old", &["true"], json!({}));
    let layers = engine.place().join("data/overlay/layers");
    for layer in std::fs::read_dir(&layers).expect("the layers").flatten() {
        std::fs::remove_dir_all(layer.path()).expect("a layer goes");
    }
    let answer = engine.http().post("/containers/old/start");
    assert!((400..600).contains(&answer.status), "{} {}", answer.status, answer.text());
    let said = answer.message();
    assert!(said.contains("is damaged") && said.contains("load the image again"), "{said}");
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs())
}
