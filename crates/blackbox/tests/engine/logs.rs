//! Logs: streams, since, tail, follow, binary bytes, long lines, rotation, drivers.

use std::io::Read;

use berth_blackbox::http::demultiplex;
use berth_blackbox::{Engine, eventually};
use serde_json::json;

#[test]
fn streams_can_be_asked_for_alone() {
    let engine = Engine::start();
    let id = engine.run("", &["sh", "-c", "echo out; echo err >&2"], json!({}));
    engine.wait(&id);
    assert_eq!(engine.logs(&id), ("out\n".into(), "err\n".into()));
    let only = |query: &str| {
        let answer = engine.http().get(&format!("/containers/{id}/logs?{query}")).expect(200);
        let (stdout, stderr) = demultiplex(&answer.body);
        String::from_utf8([stdout, stderr].concat()).expect("UTF-8")
    };
    assert_eq!(only("stdout=1"), "out\n");
    assert_eq!(only("stderr=1"), "err\n");
    let answer = engine.http().get(&format!("/containers/{id}/logs")).expect(400);
    assert!(answer.message().contains("you must choose at least one stream"), "{}", answer.text());
}

#[test]
fn tail_since_until_and_timestamps() {
    let engine = Engine::start();
    let id = engine.run("it", &["sh", "-c", "echo a; echo b; echo c; sleep 1.2; echo d"], json!({}));
    engine.wait(&id);
    assert_eq!(engine.cli(&["logs", "--tail", "2", "it"]).ok(), "c\nd");
    assert_eq!(engine.cli(&["logs", "--tail", "0", "it"]).ok(), "");
    assert_eq!(engine.cli(&["logs", "--tail", "all", "it"]).ok(), "a\nb\nc\nd");
    let stamped = engine.cli(&["logs", "-t", "it"]).ok();
    let stamps: Vec<&str> = stamped.lines().map(|line| line.split(' ').next().expect("a time")).collect();
    assert!(stamps.iter().all(|stamp| stamp.ends_with('Z') && stamp.len() >= 25), "{stamped}");
    assert_eq!(engine.cli(&["logs", "--since", stamps[3], "it"]).ok(), "d");
    assert_eq!(engine.cli(&["logs", "--until", stamps[2], "it"]).ok(), "a\nb\nc");
    assert_eq!(engine.cli(&["logs", "--since", "1h", "it"]).ok(), "a\nb\nc\nd");
}

#[test]
fn following_ends_with_the_container() {
    let engine = Engine::start();
    engine.run("it", &["sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done"], json!({}));
    assert_eq!(engine.cli(&["logs", "-f", "it"]).ok(), "1\n2\n3\n4\n5");
}

#[test]
fn following_gives_each_line_at_once() {
    let engine = Engine::start();
    let id = engine.run("", &["sh", "-c", "read x; echo got $x; sleep 60"], json!({"OpenStdin": true}));
    let (status, mut follow) =
        engine.http().stream("GET", &format!("/containers/{id}/logs?stdout=1&follow=1"), &json!(null));
    assert_eq!(status, 200);
    let (_, mut input) =
        engine.http().stream("POST", &format!("/containers/{id}/attach?stdin=1&stream=1"), &json!(null));
    input.write(b"it\n");
    follow.until("got it\n");
}

/// A container's standard output after every byte there is was written, with a log driver.
fn every_byte_through(engine: &Engine, driver: &str) -> Vec<u8> {
    let script = "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %03o $i)\"; i=$((i+1)); done; echo";
    let settings = json!({"HostConfig": {"LogConfig": {"Type": driver}}});
    let id = engine.run("", &["sh", "-c", script], settings);
    engine.wait(&id);
    let answer = engine.http().get(&format!("/containers/{id}/logs?stdout=1")).expect(200);
    demultiplex(&answer.body).0
}

#[test]
fn any_byte_comes_back() {
    let engine = Engine::start();
    let mut expected: Vec<u8> = (0..=255).collect();
    expected.push(b'\n');
    assert_eq!(every_byte_through(&engine, "local"), expected);
    // Docker's JSON format has text only: what is not UTF-8 becomes U+FFFD, there as here.
    let through_json = every_byte_through(&engine, "json-file");
    assert_eq!(String::from_utf8_lossy(&through_json), String::from_utf8_lossy(&expected));
}

#[test]
fn a_line_of_a_megabyte_stays_one_line() {
    let engine = Engine::start();
    let id = engine.run("", &["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end"], json!({}));
    engine.wait(&id);
    let (stdout, _) = engine.logs(&id);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!((lines.len(), lines[0].len(), lines[1]), (2, 1_000_000, "end"));
    let answer = engine.http().get(&format!("/containers/{id}/logs?stdout=1&tail=1")).expect(200);
    assert_eq!(demultiplex(&answer.body).0, b"end\n");
}

#[test]
fn a_last_line_without_an_end_is_kept() {
    let engine = Engine::start();
    assert_eq!(engine.run_to_end(&["printf", "no newline"], json!({})).1, "no newline");
}

#[test]
fn rotation_keeps_the_newest_and_stays_bounded() {
    let engine = Engine::start();
    let config = json!({"Type": "json-file", "Config": {"max-size": "20k", "max-file": "2"}});
    let id = engine.run("", &["seq", "1", "5000"], json!({"HostConfig": {"LogConfig": config}}));
    engine.wait(&id);
    let (stdout, _) = engine.logs(&id);
    assert!(stdout.ends_with("4999\n5000\n"), "the newest lines are there");
    assert!(!stdout.starts_with("1\n"), "the oldest are gone");
    let numbers: Vec<u32> = stdout.lines().map(|line| line.parse().expect("whole lines")).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "no line between is lost");
}

#[test]
fn the_local_driver_reads_back() {
    let engine = Engine::start();
    let settings = json!({"HostConfig": {"LogConfig": {"Type": "local", "Config": {"max-size": "1m"}}}});
    let id = engine.run("", &["sh", "-c", "echo out; echo err >&2"], settings);
    engine.wait(&id);
    assert_eq!(engine.logs(&id), ("out\n".into(), "err\n".into()));
}

#[test]
fn without_a_log_the_answer_says_so() {
    let engine = Engine::start();
    let id = engine.run("", &["echo", "x"], json!({"HostConfig": {"LogConfig": {"Type": "none"}}}));
    engine.wait(&id);
    let answer = engine.http().get(&format!("/containers/{id}/logs?stdout=1"));
    assert!(
        answer.status >= 400 || answer.text().contains("does not support reading"),
        "{} {}",
        answer.status,
        answer.text()
    );
}

#[test]
fn a_reader_that_stands_still_stops_nobody() {
    let engine = Engine::start();
    let id = engine.run("", &["sh", "-c", "seq 1 200000; echo done >&2"], json!({}));
    let (_, mut slow) = engine.http().stream("GET", &format!("/containers/{id}/logs?stdout=1&follow=1"), &json!(null));
    slow.read_exact(&mut [0; 8]).expect("a first frame");
    assert_eq!(engine.wait(&id), 0, "the container ends although nobody reads on");
    let all = eventually("the whole log", 10, || Some(engine.logs(&id).0).filter(|log| log.ends_with("200000\n")));
    assert_eq!(all.lines().count(), 200_000);
}
