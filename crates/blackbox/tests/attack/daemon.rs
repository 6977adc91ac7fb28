//! The daemon's own state and doors: who may read it, what a call leaves behind, what a body may be.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use berth_blackbox::{Engine, command, eventually};
use serde_json::{Value, json};

use crate::arena::{Verdict, attack, breached_if, is_full};
use crate::held;

fn all_below(top: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.symlink_metadata().is_ok_and(|about| about.is_dir()) {
            all_below(&path, found);
        }
        found.push(path);
    }
}

#[test]
fn cve_2024_25621_state_readable_by_others() {
    attack(&["private-state"], |arena| {
        let engine = arena.engine();
        engine.run(
            "",
            &["sh", "-c", "echo private > /private; sleep 60"],
            json!({"HostConfig": {"Binds": ["vol:/v"]}}),
        );
        // The folder of a test is closed to others by itself, which would prove nothing.
        std::fs::set_permissions(engine.place(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let mut paths = Vec::new();
        for root in ["data", "run"] {
            paths.push(engine.place().join(root));
            all_below(&engine.place().join(root), &mut paths);
        }
        assert!(paths.len() > 50, "there is a state to look at: {}", paths.len());
        let names: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
        let mut other = std::process::Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c"]);
        other.arg("while IFS= read -r path; do [ -r \"$path\" ] || [ -w \"$path\" ] && echo \"$path\"; done; true");
        let readable = command::run(other, names.as_bytes()).ok();
        let first: Vec<&str> = readable.lines().take(3).collect();
        breached_if(!readable.is_empty(), format!("{} of {} paths: {first:?}", readable.lines().count(), paths.len()))
    });
}

/// Open descriptors of a process.
fn descriptors(pid: &str) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count())
}

/// A number of `/proc/<pid>/status`.
fn status(pid: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap_or("0");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Makes each of the calls so often, and tells what grew in the daemon and in the supervisor.
fn repeat(engine: &Engine, id: &str, count: u32, call: &mut dyn FnMut(u32)) -> Verdict {
    let main = engine.inspect(id)["State"]["Pid"].to_string();
    let processes = [("daemon", engine.daemon_pid().to_string()), ("supervisor", status(&main, "PPid").to_string())];
    // Pools and buffers have their size after the first calls.
    (0..count / 10 + 20).for_each(&mut *call);
    let look = || processes.clone().map(|(_, pid)| (descriptors(&pid), status(&pid, "VmRSS"), status(&pid, "Threads")));
    let before = look();
    (0..count).for_each(call);
    // A call may be answered a moment before all of it is given back.
    let grown = |(name, _): &(&str, String), (was, is): (&(usize, u64, u64), &(usize, u64, u64))| {
        let kib_max = was.1 / 4 + 16 * 1024;
        let grew = is.0 > was.0 + 20 || is.1 > was.1 + kib_max || is.2 > was.2 + 20;
        grew.then(|| format!("after {count} calls the {name} went from {was:?} to {is:?} (descriptors, KiB, threads)"))
    };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    loop {
        let after = look();
        let found = processes.iter().zip(before.iter().zip(&after)).find_map(|(process, pair)| grown(process, pair));
        match found {
            None => return Verdict::Held,
            Some(how) if std::time::Instant::now() > end => return Verdict::Breached(how),
            Some(_) => std::thread::sleep(std::time::Duration::from_millis(50)),
        }
    }
}

fn count(usual: u32) -> u32 {
    if is_full() { 100_000 } else { usual }
}

#[test]
fn cve_2022_23471_resizes_leak_nothing() {
    attack(&["calls-released"], |arena| {
        let engine = arena.engine();
        let id = engine.run("", &["sleep", "3600"], json!({"Tty": true}));
        let http = engine.http();
        repeat(&engine, &id, count(600), &mut |number| {
            http.post(&format!("/containers/{id}/resize?h={}&w=80", 20 + number % 50)).expect(200);
        })
    });
}

#[test]
fn cve_2025_64329_attaches_leak_nothing() {
    attack(&["calls-released"], |arena| {
        let engine = arena.engine();
        let id = engine.run("", &["sleep", "3600"], json!({"Tty": true, "OpenStdin": true}));
        let http = engine.http();
        repeat(&engine, &id, count(600), &mut |_| {
            let (status, stream) =
                http.stream("POST", &format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1"), &Value::Null);
            assert!([101, 200].contains(&status), "{status}");
            // Gone without a word.
            drop(stream);
        })
    });
}

#[test]
fn cve_2022_23471_execs_leak_nothing() {
    // One exec takes many milliseconds: the long run has fewer of them, and says so.
    let times = if is_full() { 10_000 } else { 60 };
    attack(&[], |arena| {
        let engine = arena.engine();
        let id = engine.run("", &["sleep", "3600"], json!({}));
        let http = engine.http();
        repeat(&engine, &id, times, &mut |number| {
            let body = json!({"Cmd": ["true"], "AttachStdout": true, "Tty": number % 2 == 0});
            let exec = http.post_json(&format!("/containers/{id}/exec"), &body).expect(201).json();
            let path = format!("/exec/{}/start", exec["Id"].as_str().expect("an id"));
            let (_, stream) = http.stream("POST", &path, &json!({"Detach": false, "Tty": number % 2 == 0}));
            if number % 3 == 0 { drop(stream) } else { drop(stream.rest()) }
        })
    });
}

/// Sends bytes as they are; the answer to its end.
fn raw(engine: &Engine, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(engine.socket()).expect("the daemon listens");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a timeout");
    // The daemon may have heard enough before all is sent.
    stream.write_all(request).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn cve_2024_41110_request_body_size() {
    attack(&["body-limit"], |arena| {
        let engine = arena.engine();
        let named = |name: &str| engine.http().get(&format!("/containers/{name}/json")).status == 200;
        let body = |name: &str, padding: usize| {
            let pad = "x".repeat(padding);
            json!({"Image": "busybox", "Cmd": ["true"], "Labels": {"pad": pad}, "Hostname": name}).to_string()
        };
        let head = |name: &str, lines: &str| {
            format!(
                "POST /containers/create?name={name} HTTP/1.1\r\nHost: e\r\nContent-Type: application/json\r\nConnection: close\r\n{lines}\r\n"
            )
        };
        // A length of nothing hides what follows from whoever looks at the head; it is no body for the daemon either.
        raw(&engine, (head("hidden", "Content-Length: 0\r\n") + &body("hidden", 0)).as_bytes());
        held!(breached_if(named("hidden"), "a body was read behind a length of nothing"));
        // Two lengths: one for the one who looks, one for the one who acts.
        let text = body("twice", 0);
        let lines = format!("Content-Length: 0\r\nContent-Length: {}\r\n", text.len());
        raw(&engine, (head("twice", &lines) + &text).as_bytes());
        held!(breached_if(named("twice"), "a body was read by the second of two lengths"));
        let lines = format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", text.len());
        raw(&engine, (head("both", &lines) + &text).as_bytes());
        held!(breached_if(named("both"), "a body that says two things about its length was read"));
        // Larger than whoever looks may want to keep, with a length and in pieces.
        let text = body("large", 5 << 20);
        raw(&engine, (head("large", &format!("Content-Length: {}\r\n", text.len())) + &text).as_bytes());
        held!(breached_if(named("large"), "a body of 5 MiB was read"));
        let pieces: String = text
            .as_bytes()
            .chunks(60_000)
            .map(|piece| format!("{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece)))
            .collect();
        raw(&engine, (head("pieces", "Transfer-Encoding: chunked\r\n") + &pieces + "0\r\n\r\n").as_bytes());
        held!(breached_if(named("pieces"), "a body of 5 MiB in pieces was read"));
        eventually("the daemon still answers", 5, || (engine.http().get("/_ping").status == 200).then_some(()));
        let mut plain = head("plain", &format!("Content-Length: {}\r\n", body("plain", 0).len()));
        plain += &body("plain", 0);
        raw(&engine, plain.as_bytes());
        assert!(named("plain"), "an honest one is read");
        // Nothing that would decide about requests by such bodies is ever skipped: it is refused as a whole.
        let mut daemon = std::process::Command::new(arena.binary());
        daemon.args(["daemon", "--authorization-plugin", "judge", "--data-root"]).arg(engine.place().join("other"));
        daemon.arg("--exec-root").arg(engine.place().join("other-run"));
        let said = command::run(daemon, b"");
        breached_if(said.code == 0, "a daemon runs without the plugin that was to authorize its requests")
    });
}
