//! `exec`: a second process in a running container.

use berth_blackbox::{Engine, eventually};
use serde_json::json;

#[test]
fn output_input_and_exit_code() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({"Env": ["FROM=container"]}));
    let output = engine.cli(&["exec", "it", "sh", "-c", "echo $FROM; echo err >&2; exit 3"]);
    assert_eq!((output.code(3).as_str(), output.stderr.trim()), ("container", "err"));
    assert_eq!(engine.cli_with(&["exec", "-i", "it", "cat"], b"typed").ok(), "typed");
    let options = ["exec", "-w", "/etc", "-u", "alice", "-e", "MORE=1", "it", "sh", "-c", "pwd; whoami; echo $MORE"];
    assert_eq!(engine.cli(&options).ok(), "/etc\nalice\n1");
}

#[test]
fn a_program_that_is_missing_gives_127_or_126() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    let missing = engine.cli(&["exec", "it", "no-such-program"]);
    assert!([126, 127].contains(&missing.code), "20.10 says 126, newer ones 127: {}", missing.code);
    engine.cli(&["exec", "it", "/etc/not-executable"]).code(126);
}

#[test]
fn the_api_tells_what_runs_and_how_it_ended() {
    let engine = Engine::start();
    let id = engine.run("it", &["sleep", "60"], json!({}));
    let body = json!({"Cmd": ["sh", "-c", "echo hi; exit 9"], "AttachStdout": true});
    let exec = engine.http().post_json("/containers/it/exec", &body).expect(201).json();
    let exec = exec["Id"].as_str().expect("an id").to_owned();
    let before = engine.http().get(&format!("/exec/{exec}/json")).expect(200).json();
    assert_eq!((before["Running"].as_bool(), before["ExitCode"].as_i64()), (Some(false), None), "{before}");
    assert_eq!(before["ContainerID"], id.as_str());
    assert_eq!(before["ProcessConfig"]["entrypoint"], "sh");
    let (status, stream) = engine.http().stream("POST", &format!("/exec/{exec}/start"), &json!({"Detach": false}));
    assert_eq!(status, 101);
    assert_eq!(berth_blackbox::http::demultiplex(&stream.rest()).0, b"hi\n");
    let after = engine.http().get(&format!("/exec/{exec}/json")).expect(200).json();
    assert_eq!((after["Running"].as_bool(), after["ExitCode"].as_i64()), (Some(false), Some(9)), "{after}");
    let again = engine.http().post_json(&format!("/exec/{exec}/start"), &json!({"Detach": true}));
    assert!([409, 500].contains(&again.status), "an exec runs once: {} {}", again.status, again.text());
}

#[test]
fn detached_runs_on_its_own() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    engine.cli(&["exec", "-d", "it", "sh", "-c", "echo done > /tmp/mark"]).ok();
    eventually("the detached process ran", 5, || {
        (engine.cli(&["exec", "it", "cat", "/tmp/mark"]).code == 0).then_some(())
    });
}

#[test]
fn a_terminal_has_the_wanted_size_and_can_be_resized() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    let body = json!({"Cmd": ["sh"], "AttachStdin": true, "AttachStdout": true, "Tty": true});
    let exec = engine.http().post_json("/containers/it/exec", &body).expect(201).json();
    let exec = exec["Id"].as_str().expect("an id").to_owned();
    let (_, mut stream) = engine.http().stream("POST", &format!("/exec/{exec}/start"), &json!({"Tty": true}));
    let resized = eventually("a resize", 5, || {
        Some(engine.http().post(&format!("/exec/{exec}/resize?h=33&w=99"))).filter(|answer| answer.status < 300)
    });
    assert!([200, 201].contains(&resized.status));
    stream.write(b"stty size; exit\n");
    stream.until("33 99\r\n");
}

#[test]
fn not_in_a_container_that_does_not_run() {
    let engine = Engine::start();
    let id = engine.create("it", &["true"], json!({}));
    let answer = engine.http().post_json("/containers/it/exec", &json!({"Cmd": ["true"]})).expect(409);
    // 20.10 begins the sentence with a capital letter, newer ones do not.
    assert_eq!(answer.message().to_lowercase(), format!("container {id} is not running"));
    let answer = engine.http().post_json("/containers/nobody/exec", &json!({"Cmd": ["true"]})).expect(404);
    assert_eq!(answer.message(), "No such container: nobody");
    let answer = engine.http().get("/exec/0123/json").expect(404);
    assert!(answer.message().starts_with("No such exec instance"), "{}", answer.text());
}

#[test]
fn execs_end_with_their_container() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| engine.cli(&["exec", "it", "sleep", "60"]).code);
        eventually("the exec runs", 5, || engine.cli(&["top", "it"]).ok().lines().nth(2).map(|_| ()));
        engine.http().post("/containers/it/kill").expect(204);
        assert_eq!(running.join().expect("a client"), 137);
    });
}

#[test]
fn privileged_gets_every_capability_that_there_is() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    let line = ["it", "grep", "CapEff", "/proc/self/status"];
    assert!(engine.cli(&[&["exec"], &line[..]].concat()).ok().ends_with("00000000a80425fb"));
    let bounds = berth_blackbox::engine::bounding_capabilities();
    if engine.is_docker() && !bounds.ends_with("ffffffff") {
        berth_blackbox::skip!("dockerd cannot run privileged where a capability is missing");
    }
    let privileged = engine.cli(&[&["exec", "--privileged"], &line[..]].concat()).ok();
    // In a user namespace of its own a process has all that the kernel knows, whatever the host was left with.
    assert!(privileged.ends_with(&bounds) || privileged.ends_with("1ffffffffff"), "{privileged} {bounds}");
}

#[test]
fn a_terminal_of_a_session_is_framed_for_clients_that_did_not_ask_for_one() {
    let engine = Engine::start();
    engine.run("it", &["sleep", "60"], json!({}));
    let body = json!({"Cmd": ["printf", "hello"], "AttachStdout": true, "Tty": true, "detachKeys": "ctrl-a"});
    let exec = engine.http().post_json("/containers/it/exec", &body).expect(201).json()["Id"].clone();
    let path = format!("/exec/{}/start", exec.as_str().expect("an id"));
    let answer = engine.http().post_json(&path, &json!({"Detach": false, "Tty": false})).expect(200);
    assert_eq!(berth_blackbox::http::demultiplex(&answer.body).0, b"hello");
    let seen = engine.http().get(&path.replace("/start", "/json")).expect(200).json();
    // Keys of requests are taken in any case.
    assert_eq!(seen["DetachKeys"], if engine.is_docker() { json!("\u{1}") } else { json!("ctrl-a") });
}

#[test]
fn a_mac_address_of_the_container_is_that_of_its_network() {
    let engine = Engine::start();
    let id = engine.run("", &["sleep", "60"], json!({"MacAddress": "02:42:ac:11:00:7a"}));
    assert_eq!(engine.inspect(&id)["NetworkSettings"]["MacAddress"], "02:42:ac:11:00:7a");
    assert_eq!(engine.cli(&["exec", &id, "cat", "/sys/class/net/eth0/address"]).ok(), "02:42:ac:11:00:7a");
}
