//! Further processes in a running container, and terminals.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use berth_runtime::{Container, Stdio, exec};
use oci_spec::runtime::Process;
use serde_json::json;

use crate::Test;
use crate::sandbox::{Sandbox, kill, wait};

pub const TESTS: &[Test] = &[
    ("exec::joins_everything", joins_everything),
    ("exec::has_its_own_user_and_directory", has_its_own_user_and_directory),
    ("exec::failures_leave_nothing", failures_leave_nothing),
    ("exec::in_host_namespaces", in_host_namespaces),
    ("exec::is_filtered", is_filtered),
    ("terminal::of_the_container", of_the_container),
    ("terminal::of_an_exec", of_an_exec),
];

fn process(script: &str, change: serde_json::Value) -> Process {
    let mut value =
        json!({ "user": { "uid": 0, "gid": 0 }, "args": ["/bin/sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/" });
    for (key, part) in change.as_object().into_iter().flatten() {
        value[key] = part.clone();
    }
    serde_json::from_value(value).expect("process")
}

fn run(container: &Container, process: &Process) -> berth_runtime::Result<(i32, String)> {
    let (mut reader, writer) = std::io::pipe().expect("pipe");
    let null = std::fs::File::open("/dev/null").expect("open");
    let stdio = Stdio::Streams { stdin: null.as_fd(), stdout: writer.as_fd(), stderr: writer.as_fd() };
    let executed = exec(container, process, stdio)?;
    drop(writer);
    let mut output = String::new();
    reader.read_to_string(&mut output).expect("output");
    Ok((wait(&executed.pidfd), output.trim_end().to_owned()))
}

fn joins_everything() {
    let script =
        "for n in mnt pid ipc uts net user cgroup time; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup";
    let name = format!("/berth-test/exec-{}", std::process::id());
    let sandbox =
        Sandbox::new(&format!("{script}; echo; sleep 60")).change(|spec| spec["linux"]["cgroupsPath"] = json!(name));
    let (created, mut reader) = sandbox.start().expect("start");
    let mut output = Vec::new();
    let mut byte = [0u8; 1];
    while !output.ends_with(b"\n\n") {
        reader.read_exact(&mut byte).expect("output");
        output.push(byte[0]);
    }
    let result = run(&created.container, &process(&format!("{script}; exit 5"), json!({})));
    let seen = run(&created.container, &process("ps | grep -c 'sleep 6[0]'; ls /proc/self/fd | wc -l", json!({})));
    kill(&created.container);
    let (code, said) = result.expect("exec");
    assert_eq!(code, 5);
    assert_eq!(said, String::from_utf8_lossy(&output).trim_end());
    assert_eq!(seen.expect("exec").1, "1\n4");
}

fn has_its_own_user_and_directory() {
    let sandbox = Sandbox::new("sleep 60");
    let (created, _reader) = sandbox.start().expect("start");
    let change = json!({ "user": { "uid": 0, "gid": 0, "username": "user" }, "cwd": "/home/user" });
    let result = run(&created.container, &process("id -u; pwd; echo $HOME; echo x > /dev/stderr", change));
    let unknown =
        run(&created.container, &process("true", json!({ "user": { "uid": 0, "gid": 0, "username": "who" } })));
    kill(&created.container);
    assert_eq!(result.expect("exec"), (0, String::from("1000\n/home/user\n/home/user\nx")));
    let text = unknown.expect_err("unknown").to_string();
    assert_eq!(text, "unable to find user who: no matching entries in passwd file");
}

fn failures_leave_nothing() {
    let sandbox = Sandbox::new("sleep 60");
    let (created, _reader) = sandbox.start().expect("start");
    let missing = run(&created.container, &process("", json!({ "args": ["nope"] }))).expect_err("missing");
    assert_eq!(missing.failure().expect("of init").exit_code(), 127);
    let (_, list) = run(&created.container, &process("set -- /proc/[0-9]*; echo $#", json!({}))).expect("exec");
    let own = std::fs::read_link("/proc/self/ns/pid").expect("link");
    let future = std::fs::read_link("/proc/self/ns/pid_for_children").expect("link");
    kill(&created.container);
    assert_eq!(list, "2", "the sleeper and the shell");
    assert_eq!(own, future, "the maker came home");
    let gone = run(&created.container, &process("true", json!({}))).expect_err("gone");
    assert!(matches!(gone, berth_runtime::Error::Process { .. }), "{gone:?}");
}

fn in_host_namespaces() {
    let sandbox = Sandbox::new("sleep 60").without(&["user", "network", "pid", "cgroup"]);
    let (created, _reader) = sandbox.start().expect("start");
    let result = run(&created.container, &process("readlink /proc/self/ns/net; hostname", json!({})));
    kill(&created.container);
    let host = std::fs::read_link("/proc/self/ns/net").expect("link").to_string_lossy().into_owned();
    assert_eq!(result.expect("exec"), (0, format!("{host}\nbox")));
}

fn is_filtered() {
    let sandbox = Sandbox::new("sleep 60").change(|spec| {
        spec["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 }],
        });
    });
    let (created, _reader) = sandbox.start().expect("start");
    let result = run(&created.container, &process("mkdir /tmp/x 2>/dev/null || echo refused", json!({})));
    kill(&created.container);
    assert_eq!(result.expect("exec"), (0, String::from("refused")));
}

/// All that a terminal says until its last user is gone.
fn read_terminal(master: OwnedFd) -> String {
    let mut output = Vec::new();
    let mut buffer = [0u8; 4096];
    while let Ok(read @ 1..) = rustix::io::read(&master, &mut buffer) {
        output.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&output).replace("\r\n", "\n").trim_end().to_owned()
}

const TERMINAL: &str =
    "tty; stty size; stat -c %u:%g $(tty); stat -c %t /dev/console; (: < /dev/tty) && echo tty; echo $TERM";

fn of_the_container() {
    let sandbox = Sandbox::new(TERMINAL).change(|spec| {
        spec["process"]["terminal"] = json!(true);
        spec["process"]["user"]["username"] = json!("user");
    });
    let created = berth_runtime::create(&sandbox.bundle, Stdio::Terminal { size: Some((30, 100)) }).expect("create");
    created.release().expect("release");
    let output = read_terminal(created.terminal.expect("terminal"));
    assert_eq!(wait(&created.container.pidfd), 0, "{output}");
    assert_eq!(output, "/dev/pts/0\n30 100\n1000:5\n88\ntty\nxterm");
}

fn of_an_exec() {
    let sandbox = Sandbox::new("sleep 60");
    let (created, _reader) = sandbox.start().expect("start");
    let change = json!({ "terminal": true, "user": { "uid": 0, "gid": 0, "username": "1000" } });
    let script = "tty; stty size; stat -c %u:%g $(tty); (: < /dev/tty) && echo tty; echo $TERM";
    let executed =
        exec(&created.container, &process(script, change), Stdio::Terminal { size: Some((10, 20)) }).expect("exec");
    let output = read_terminal(executed.terminal.expect("terminal"));
    let code = wait(&executed.pidfd);
    kill(&created.container);
    assert_eq!((code, output.as_str()), (0, "/dev/pts/0\n10 20\n1000:5\ntty\nxterm"));
}
