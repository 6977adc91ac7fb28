//! `attach`: streams of a container's first process, taken over by a client.

use berth_blackbox::http::demultiplex;
use berth_blackbox::{Engine, eventually};
use serde_json::json;

#[test]
fn attached_before_the_start_misses_nothing() {
    let engine = Engine::start();
    let settings = json!({"OpenStdin": true, "StdinOnce": true, "AttachStdin": true});
    let id = engine.create("", &["sh", "-c", "echo ready; cat; echo bye >&2"], settings);
    let path = format!("/containers/{id}/attach?stdin=1&stdout=1&stderr=1&stream=1");
    let (status, mut stream) = engine.http().stream("POST", &path, &json!(null));
    assert_eq!(status, 101);
    engine.http().post(&format!("/containers/{id}/start")).expect(204);
    stream.write(b"line\n");
    stream.close_input();
    let (stdout, stderr) = demultiplex(&stream.rest());
    assert_eq!((&stdout[..], &stderr[..]), (&b"ready\nline\n"[..], &b"bye\n"[..]));
    assert_eq!(engine.wait(&id), 0);
}

#[test]
fn two_clients_see_the_same() {
    let engine = Engine::start();
    let id = engine.run("", &["sh", "-c", "read x; echo $x"], json!({"OpenStdin": true}));
    let watch = || engine.http().stream("POST", &format!("/containers/{id}/attach?stdout=1&stream=1"), &json!(null)).1;
    let (first, second) = (watch(), watch());
    let (_, mut input) =
        engine.http().stream("POST", &format!("/containers/{id}/attach?stdin=1&stream=1"), &json!(null));
    input.write(b"both\n");
    assert_eq!(demultiplex(&first.rest()).0, b"both\n");
    assert_eq!(demultiplex(&second.rest()).0, b"both\n");
}

#[test]
fn logs_come_before_the_stream_when_asked_for() {
    let engine = Engine::start();
    let id = engine.run("", &["sh", "-c", "echo old; read x; echo new"], json!({"OpenStdin": true}));
    eventually("the first line", 5, || engine.logs(&id).0.contains("old").then_some(()));
    let path = format!("/containers/{id}/attach?stdin=1&stdout=1&stream=1&logs=1");
    let (_, mut stream) = engine.http().stream("POST", &path, &json!(null));
    stream.write(b"\n");
    assert_eq!(demultiplex(&stream.rest()).0, b"old\nnew\n");
}

#[test]
fn detach_keys_leave_the_container_running() {
    let engine = Engine::start();
    let id = engine.run("", &["cat"], json!({"OpenStdin": true, "Tty": true}));
    let (_, mut stream) =
        engine.http().stream("POST", &format!("/containers/{id}/attach?stdin=1&stdout=1&stream=1"), &json!(null));
    stream.write(b"hello\n");
    stream.until("hello\r\nhello\r\n");
    stream.write(&[16, 17]);
    stream.rest();
    assert_eq!(engine.inspect(&id)["State"]["Running"], true);
}

#[test]
fn resize_reaches_the_terminal() {
    let engine = Engine::start();
    let id = engine.run("", &["sh"], json!({"OpenStdin": true, "Tty": true}));
    engine.http().post(&format!("/containers/{id}/resize?h=44&w=111")).expect(200);
    let (_, mut stream) =
        engine.http().stream("POST", &format!("/containers/{id}/attach?stdin=1&stdout=1&stream=1"), &json!(null));
    stream.write(b"stty size\n");
    stream.until("44 111\r\n");
    engine.http().post(&format!("/containers/{id}/resize?h=x&w=1")).expect(400);
}

#[test]
fn without_an_upgrade_the_stream_is_the_body() {
    let engine = Engine::start();
    let id = engine.run("", &["sh", "-c", "sleep 0.3; echo body"], json!({}));
    let answer = engine.http().post(&format!("/containers/{id}/attach?stdout=1&stream=1"));
    assert_eq!(answer.status, 200);
    assert_eq!(demultiplex(&answer.body).0, b"body\n");
}

#[test]
fn not_to_a_paused_or_stopped_one_by_the_client() {
    let engine = Engine::start();
    engine.create("it", &["true"], json!({}));
    engine.cli(&["attach", "it"]).fails("cannot attach to a stopped container");
    engine.cli(&["attach", "nobody"]).fails("No such container: nobody");
}
