//! The driver against a peer that speaks the protocol's other side, in this process.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;

use oci_spec::runtime::LinuxResources;
use serde_json::json;

use super::*;
use crate::cgroup::systemd::message::{HEAD_LEN, Message, kind, length, parse};

/// How the peer answers a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Done,
    ExistsOnce,
    Failed,
    Denied,
}

/// (member, raw bytes) of each call.
type Calls = Vec<(String, Vec<u8>)>;

struct Peer {
    _dir: tempfile::TempDir,
    path: PathBuf,
    /// (member, raw bytes) of each call.
    calls: JoinHandle<Calls>,
}

fn resources(value: serde_json::Value) -> LinuxResources {
    serde_json::from_value(value).expect("resources")
}

fn peer(manner: Manner) -> Peer {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("bus");
    let listener = UnixListener::bind(&path).expect("a socket");
    let calls = std::thread::spawn(move || serve(listener.accept().expect("a client").0, manner));
    Peer { _dir: dir, path, calls }
}

fn serve(stream: UnixStream, manner: Manner) -> Calls {
    let mut out = stream.try_clone().expect("a copy");
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).expect("a line");
    assert!(line.starts_with(b"\0AUTH EXTERNAL "), "{line:?}");
    out.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n").expect("it listens");
    line.clear();
    stream.read_until(b'\n', &mut line).expect("a line");
    assert_eq!(line, b"BEGIN\r\n");
    let (mut calls, mut starts) = (Vec::new(), 0);
    loop {
        let mut bytes = vec![0; HEAD_LEN];
        if stream.read_exact(&mut bytes).is_err() {
            return calls;
        }
        bytes.resize(length(bytes.first_chunk().expect("a head")).expect("a length"), 0);
        stream.read_exact(&mut bytes[HEAD_LEN..]).expect("the rest");
        let call = parse(&bytes).expect("a message");
        calls.push((call.member.clone(), bytes));
        // Something that concerns another: it is passed over.
        out.write_all(&signal("JobRemoved", &[5, 5], &["/job/other", "x.scope", "done"])).expect("it listens");
        let answer = match (call.member.as_str(), manner) {
            ("StartTransientUnit", Manner::Denied) => error(&call, "org.freedesktop.DBus.Error.AccessDenied", "no"),
            ("StartTransientUnit", Manner::ExistsOnce) if starts == 0 => {
                starts += 1;
                error(&call, "org.freedesktop.systemd1.UnitExists", "there")
            }
            ("StartTransientUnit", _) => {
                let result = if manner == Manner::Failed { "failed" } else { "done" };
                // The end of the job may be told before the call is answered.
                out.write_all(&signal("JobRemoved", &[7, 7], &["/job/7", "x.scope", result])).expect("it listens");
                reply(&call, &["/job/7"])
            }
            _ => reply(&call, &[]),
        };
        out.write_all(&answer).expect("it listens");
    }
}

/// A message as a manager would send it, big-endian to try that too.
fn message(kind: u8, fields: &[(u8, &str, Vec<u8>)], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'B', kind, 0, 1];
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(1_u32.to_be_bytes());
    bytes.extend([0; 4]);
    for (code, signature, value) in fields {
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend([*code, signature.len() as u8]);
        bytes.extend(signature.as_bytes());
        bytes.push(0);
        bytes.extend(value);
    }
    let fields_len = (bytes.len() - HEAD_LEN) as u32;
    bytes[12..16].copy_from_slice(&fields_len.to_be_bytes());
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(body);
    bytes
}

fn words(numbers: &[u32], texts: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    numbers.iter().take(1).for_each(|number| body.extend(number.to_be_bytes()));
    for text in texts {
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(string(text));
    }
    body
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u32).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes.push(0);
    bytes
}

fn signature(text: &str) -> Vec<u8> {
    let mut bytes = vec![text.len() as u8];
    bytes.extend(text.as_bytes());
    bytes.push(0);
    bytes
}

fn signal(member: &str, numbers: &[u32], texts: &[&str]) -> Vec<u8> {
    message(kind::SIGNAL, &[(3, "s", string(member)), (8, "g", signature("uoss"))], &words(numbers, texts))
}

fn reply(call: &Message, texts: &[&str]) -> Vec<u8> {
    let serial = (5, "u", call.serial.to_be_bytes().to_vec());
    message(kind::RETURN, &[serial, (8, "g", signature(&"o".repeat(texts.len())))], &words(&[], texts))
}

fn error(call: &Message, name: &str, text: &str) -> Vec<u8> {
    let serial = (5, "u", call.serial.to_be_bytes().to_vec());
    message(kind::ERROR, &[(4, "s", string(name)), serial, (8, "g", signature("s"))], &words(&[], &[text]))
}

fn path() -> CgroupPath {
    CgroupPath::parse("/a.slice/a-b.slice/berth-x.scope").expect("a path")
}

/// Starts a scope at a peer of some manner: its outcome, and the calls that the peer has heard.
fn started(manner: Manner) -> (std::result::Result<(), Refusal>, Calls) {
    let peer = peer(manner);
    let limits = resources(json!({"memory": {"limit": 100, "swap": 300}, "pids": {"limit": 9},
        "cpu": {"shares": 1024, "quota": 50_000, "period": 100_000, "cpus": "0-1,9"}}));
    let mut bus = Bus::connect(&peer.path, true).expect("a connection");
    let outcome = start_on(&mut bus, &path(), 77, Some(&limits));
    drop(bus);
    (outcome, peer.calls.join().expect("the peer"))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_scope_is_started_with_its_limits() {
    let (outcome, calls) = started(Manner::Done);
    outcome.expect("it starts");
    let names: Vec<&str> = calls.iter().map(|(member, _)| member.as_str()).collect();
    assert_eq!(names, ["Subscribe", "StartTransientUnit"]);
    let call = &calls[1].1;
    for text in ["berth-x.scope", "replace", "a-b.slice", "Delegate", "PIDs", "CollectMode"] {
        assert!(contains(call, text.as_bytes()), "{text}");
    }
    let number = |name: &str, value: u64| {
        let at = call.windows(name.len()).position(|window| window == name.as_bytes()).expect("the property");
        contains(&call[at..(at + name.len() + 24).min(call.len())], &value.to_le_bytes())
    };
    assert!(number("MemoryMax", 100) && number("MemorySwapMax", 200) && number("TasksMax", 9));
    assert!(number("CPUQuotaPerSecUSec", 500_000) && number("CPUQuotaPeriodUSec", 100_000));
    assert!(contains(call, &[2, 0, 0, 0, 0b11, 0b10]), "the mask of processors");
}

#[test]
fn refusals_are_told_and_leftovers_are_reset() {
    let (outcome, calls) = started(Manner::ExistsOnce);
    outcome.expect("the second start");
    let names: Vec<&str> = calls.iter().map(|(member, _)| member.as_str()).collect();
    assert_eq!(names, ["Subscribe", "StartTransientUnit", "ResetFailedUnit", "StartTransientUnit"]);
    for (manner, part) in [(Manner::Denied, "no"), (Manner::Failed, "failed")] {
        let refusal = started(manner).0.expect_err("a refusal");
        let text = failed("start", "berth-x.scope", refusal).to_string();
        assert!(text.contains(part) && text.contains("berth-x.scope"), "{text}");
    }
}

#[test]
fn an_update_tells_what_changes_alone() {
    let peer = peer(Manner::Done);
    let mut bus = Bus::connect(&peer.path, false).expect("a connection over a bus");
    update_on(&mut bus, &path(), &resources(json!({"pids": {"limit": -1}}))).expect("it is told");
    update_on(&mut bus, &path(), &resources(json!({}))).expect("there is nothing to tell");
    drop(bus);
    let calls = peer.calls.join().expect("the peer");
    let names: Vec<&str> = calls.iter().map(|(member, _)| member.as_str()).collect();
    assert_eq!(names, ["Hello", "AddMatch", "Subscribe", "SetUnitProperties"]);
    assert!(contains(&calls[3].1, &u64::MAX.to_le_bytes()) && contains(&calls[3].1, b"TasksMax"));
}

#[test]
fn nobody_there_is_a_sentence() {
    let error = Bus::connect(std::path::Path::new("/no/such/socket"), true).expect_err("nobody");
    assert!(failed("start", "x.scope", error).to_string().contains("x.scope"));
    assert!(unit(&CgroupPath::parse("/berth/x").expect("a path")).is_err());
    assert_eq!(mask("0-1,9"), Some(vec![0b11, 0b10]));
    assert_eq!((mask("x"), mask("3-1"), mask("99999999")), (None, None, None));
}
