//! Options of a container that exclude each other, name others, or come half from the daemon.

use berth_blackbox::{Engine, Kind};
use serde_json::{Value, json};

/// What the engine says to a container that it must not create or start.
#[track_caller]
fn refusal(engine: &Engine, settings: Value) -> String {
    let mut body = json!({"Image": "busybox", "Cmd": ["true"]});
    body.as_object_mut().expect("an object").extend(settings.as_object().expect("an object").clone());
    let answer = engine.http().post_json("/containers/create", &body);
    if answer.status != 201 {
        assert_ne!(answer.status, 404, "clients would pull the image: {}", answer.message());
        return answer.message();
    }
    let id = answer.json()["Id"].as_str().expect("an id").to_owned();
    let answer = engine.http().post(&format!("/containers/{id}/start"));
    engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
    assert!(answer.status >= 400, "{body} was accepted");
    answer.message()
}

#[test]
fn a_joined_network_leaves_nothing_to_set() {
    let engine = Engine::start();
    engine.run("first", &["sleep", "60"], json!({"Hostname": "its-name"}));
    let mode = "container:first";
    // Docker's client sends an empty name when none is given.
    let (code, text) = engine.run_to_end(&["hostname"], json!({"Hostname": "", "HostConfig": {"NetworkMode": mode}}));
    assert_eq!((code, text.as_str()), (0, "its-name\n"));
    for (settings, part) in [
        (json!({"Hostname": "h", "HostConfig": {"NetworkMode": mode}}), "hostname and the network mode"),
        (json!({"HostConfig": {"NetworkMode": mode, "Dns": ["1.1.1.1"]}}), "dns and the network mode"),
        (json!({"HostConfig": {"NetworkMode": mode, "ExtraHosts": ["a:1.1.1.1"]}}), "host-to-IP mapping"),
        (json!({"HostConfig": {"NetworkMode": mode, "PublishAllPorts": true}}), "port publishing"),
        (json!({"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"NetworkMode": mode}}), "port exposing"),
        (json!({"Hostname": "h", "HostConfig": {"UTSMode": "host"}}), "hostname and the UTS mode"),
    ] {
        let text = refusal(&engine, settings);
        assert!(text.contains("conflicting options") && text.contains(part), "{text}");
    }
}

#[test]
fn names_of_others_that_are_not_there_are_bad_requests() {
    let engine = Engine::start();
    for settings in [
        json!({"HostConfig": {"VolumesFrom": ["nosuch"]}}),
        json!({"HostConfig": {"Links": ["nosuch:alias"]}}),
        json!({"HostConfig": {"PidMode": "container:nosuch"}}),
    ] {
        assert!(refusal(&engine, settings).contains("No such container: nosuch"));
    }
    let body = json!({"Image": "busybox", "HostConfig": {"VolumeDriver": "nosuch", "Binds": ["vol:/x"]}});
    let answer = engine.http().post_json("/containers/create", &body);
    assert!(answer.message().contains("nosuch"), "{}", answer.message());
    // dockerd 20.10 says 404, on which every client pulls the image again.
    assert_eq!(answer.status, if engine.kind() == Kind::Berth { 400 } else { 404 });
}

#[test]
fn a_private_ipc_namespace_is_not_joined() {
    let engine = Engine::start();
    engine.run("first", &["sleep", "60"], json!({"HostConfig": {"IpcMode": "private"}}));
    let text = refusal(&engine, json!({"HostConfig": {"IpcMode": "container:first"}}));
    assert!(text.contains("non-shareable IPC"), "{text}");
}

#[test]
fn a_link_is_a_name_in_the_hosts_file() {
    let engine = Engine::start();
    engine.run("db", &["sleep", "60"], json!({"Hostname": "db-host"}));
    let (_, hosts) = engine.run_to_end(&["cat", "/etc/hosts"], json!({"HostConfig": {"Links": ["db:alias"]}}));
    let address = engine.inspect("db")["NetworkSettings"]["IPAddress"].as_str().expect("an address").to_owned();
    assert!(hosts.contains(&format!("{address}\talias db-host db\n")), "{hosts}");
    engine.create("still", &["true"], json!({}));
    let text = refusal(&engine, json!({"HostConfig": {"Links": ["still:alias"]}}));
    assert!(text.contains("Cannot link to a non running container: /still AS /"), "{text}");
}

#[test]
fn log_options_without_a_driver_are_the_default_drivers() {
    let engine = Engine::start();
    let log = |value: &str| json!({"HostConfig": {"LogConfig": {"Type": "", "Config": {"max-size": value}}}});
    let id = engine.create("", &["true"], log("1m"));
    let kept = &engine.inspect(&id)["HostConfig"]["LogConfig"];
    assert_eq!((kept["Type"].as_str(), kept["Config"]["max-size"].as_str()), (Some("json-file"), Some("1m")));
    let text = refusal(&engine, log("x"));
    assert!(text.contains("'x'"), "{text}");
}

#[test]
fn a_limit_of_a_device_that_is_not_there_is_refused() {
    let engine = Engine::start();
    let limit = json!([{"Path": "/dev/nosuch", "Rate": 1024}]);
    assert!(refusal(&engine, json!({"HostConfig": {"BlkioDeviceReadBps": limit}})).contains("/dev/nosuch"));
}

#[test]
fn exec_wants_a_directory_that_exists() {
    let engine = Engine::start();
    let id = engine.run("", &["sleep", "60"], json!({}));
    let output = engine.cli(&["exec", "-w", "/nosuch", &id, "pwd"]);
    assert_ne!(output.code, 0, "{}", output.text());
    assert_ne!(engine.cli(&["exec", &id, "ls", "-d", "/nosuch"]).code, 0, "nor is it made");
}

#[test]
fn detach_keys_that_are_none_are_refused() {
    let engine = Engine::start();
    let id = engine.run("", &["sleep", "60"], json!({}));
    let body = json!({"Cmd": ["true"], "DetachKeys": "ctrl-xyz"});
    let answer = engine.http().post_json(&format!("/containers/{id}/exec"), &body);
    assert!(answer.message().contains("ctrl-xyz"), "{}", answer.message());
    // dockerd 20.10 takes the blame with a 500; later ones say 400.
    assert_eq!(answer.status, if engine.kind() == Kind::Berth { 400 } else { 500 });
}

#[test]
fn a_memory_limit_above_the_swap_limit_says_what_to_do() {
    let engine = Engine::start();
    let memory = json!({"HostConfig": {"Memory": 16 << 20, "MemorySwap": 32 << 20}});
    let id = engine.create("", &["true"], memory);
    let answer = engine.http().post_json(&format!("/containers/{id}/update"), &json!({"Memory": 64 << 20}));
    assert!(answer.message().contains("update the memoryswap at the same time"), "{}", answer.message());
}

#[test]
fn ports_of_a_host_network_are_discarded_with_a_word() {
    let engine = Engine::start();
    let host = json!({"NetworkMode": "host", "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}});
    let body = json!({"Image": "busybox", "Cmd": ["true"], "HostConfig": host});
    let answer = engine.http().post_json("/containers/create", &body).expect(201).json();
    let warning = answer["Warnings"][0].as_str().unwrap_or_default();
    assert_eq!(warning, "Published ports are discarded when using host network mode");
}

#[test]
fn a_container_that_goes_with_its_exit_may_be_restarted_and_filled_before() {
    let engine = Engine::start();
    let settings = json!({"HostConfig": {"AutoRemove": true, "Binds": ["filled:/etc"]}});
    let id = engine.run("", &["sh", "-c", "echo run >> /log; sleep 60"], settings);
    engine.http().post(&format!("/containers/{id}/restart?t=0")).expect(204);
    berth_blackbox::eventually("the second run", 10, || {
        let log = engine.cli(&["exec", &id, "cat", "/log"]);
        (log.text() == "run\nrun\n").then_some(())
    });
    engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
    engine.http().delete("/volumes/filled").expect(204);
}

#[test]
fn both_clients_count_the_same_use_of_the_disk() {
    let engine = Engine::start();
    engine.create("", &["true"], json!({"HostConfig": {"Binds": ["one:/v"]}}));
    let format = ["system", "df", "--format", "{{.Type}} {{.TotalCount}}"];
    let wanted = "Images 1\nContainers 1\nLocal Volumes 1\nBuild Cache 0";
    assert_eq!(engine.cli(&format).ok(), wanted);
    if !engine.is_docker() {
        assert_eq!(engine.berth(&format).ok(), wanted);
    }
}
