//! Supervisors as processes, with real containers.
//!
//! This test is its own `berth supervise`: the supervisor is started as the daemon would start it, so there is no
//! libtest harness here, whose threads a supervisor must not have.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use berth_log::{LogConfig, ReadOptions, Reader};
use berth_runtime::{Bundle, Extension, IdRange};
use berth_supervisor::{Error, ExitRecord, Handle, Settings, Spawned, protocol::Exec, spawn};
use oci_spec::runtime::{Process, Spec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 12] = ["sh", "echo", "cat", "sleep", "true", "head", "stty", "tr", "seq", "id", "kill", "dd"];

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if let [_, mode, bundle] = arguments.as_slice()
        && mode == "supervise"
    {
        return berth_supervisor::process::main(Path::new(bundle));
    }
    let chosen = chosen(&arguments[1..]);
    if arguments.iter().any(|argument| argument == "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if let Err(why) = able() {
        println!("skipped: {why}");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, test) in chosen {
        let began = Instant::now();
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test()).await }).unwrap_or_else(|_| {
            panic!("{name} takes too long");
        });
        println!("test {name} ... ok ({:.0?})", began.elapsed());
    }
    remove_parent_cgroups();
    ExitCode::SUCCESS
}

/// The tests that the runner asks for: by part of a name, or by whole names with `--exact`; none of them is ignored.
fn chosen(arguments: &[std::ffi::OsString]) -> Vec<&'static (&'static str, Test)> {
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let given = |flag: &str| words.iter().any(|word| word == flag);
    let names: Vec<&String> = words.iter().filter(|word| !word.starts_with('-') && *word != "terse").collect();
    let fits = |test: &str, name: &str| if given("--exact") { test == name } else { test.contains(name) };
    let wanted = |test: &str| names.is_empty() || names.iter().any(|name| fits(test, name));
    TESTS.iter().filter(|(name, _)| wanted(name) && !given("--ignored")).collect()
}

/// Containers remove their own cgroups; the parent they share is this test's to remove.
fn remove_parent_cgroups() {
    let mounts = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    for mount in mounts.chain([PathBuf::from("/sys/fs/cgroup")]) {
        let _ = fs::remove_dir(mount.join("berth-test"));
    }
}

type Test = fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

const TESTS: &[(&str, Test)] = &[
    ("a_container_runs_and_its_end_is_recorded", || Box::pin(a_container_runs_and_its_end_is_recorded())),
    ("what_cannot_be_executed_is_told", || Box::pin(what_cannot_be_executed_is_told())),
    ("a_broken_bundle_is_told", || Box::pin(a_broken_bundle_is_told())),
    ("execs_join_the_container", || Box::pin(execs_join_the_container())),
    ("terminals", || Box::pin(terminals())),
    ("the_kernel_s_kill_is_noticed", || Box::pin(the_kernel_s_kill_is_noticed())),
    ("a_daemon_killed_at_any_moment_loses_nothing", || Box::pin(a_daemon_killed_at_any_moment_loses_nothing())),
    ("a_supervisor_ignores_termination", || Box::pin(a_supervisor_ignores_termination())),
    ("non_blocking_logs", || Box::pin(non_blocking_logs())),
    ("a_hundred_megabytes", || Box::pin(a_hundred_megabytes())),
    ("memory_and_latency", || Box::pin(memory_and_latency())),
];

fn able() -> Result<(), String> {
    if !Path::new(BUSYBOX).exists() {
        return Err(format!("{BUSYBOX} is missing (package busybox-static)"));
    }
    if !rustix::process::geteuid().is_root() {
        return Err("root is needed".into());
    }
    Ok(())
}

/// A bundle with a busybox root file system, in a directory of its own.
struct Stage {
    dir: tempfile::TempDir,
    name: String,
}

impl Stage {
    fn new(arguments: &[&str]) -> Self {
        Self::with(arguments, |_| {}, |_| {})
    }

    fn with(
        arguments: &[&str],
        spec: impl FnOnce(&mut serde_json::Value),
        settings: impl FnOnce(&mut Settings),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let rootfs = dir.path().join("rootfs");
        for name in ["bin", "proc", "dev", "sys", "tmp", "etc"] {
            fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        fs::copy(BUSYBOX, rootfs.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        fs::write(rootfs.join("bin/noexec"), "x").unwrap();
        let name = format!("supervise-{}", berth_kit::id::short(&berth_kit::id::generate()));
        let mut json = specification(arguments, &name);
        spec(&mut json);
        let spec: Spec = serde_json::from_value(json).unwrap();
        let extension =
            Extension { id_range: Some(IdRange { host_base: 200_000, len: 65_536 }), ..Extension::default() };
        Bundle { dir: dir.path().to_owned(), spec, extension }.store().unwrap();
        let mut own = Settings::new(LogConfig::new("local"), dir.path().join("log"));
        settings(&mut own);
        own.write(dir.path()).unwrap();
        Self { dir, name }
    }

    fn shell(script: &str) -> Self {
        Self::new(&["/bin/sh", "-c", script])
    }

    fn bundle(&self) -> &Path {
        self.dir.path()
    }

    async fn spawn(&self) -> Spawned {
        spawn(self.bundle(), &own_program()).await.unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    fn log(&self) -> Vec<u8> {
        let reader = Reader::open("local", &self.bundle().join("log"), ReadOptions::default()).unwrap();
        reader.flat_map(|record| record.unwrap().bytes).collect()
    }

    /// Waits for the end and for the supervisor to go.
    async fn ended(&self, handle: &Handle) -> ExitRecord {
        if let Ok(mut watch) = handle.watch().await {
            watch.exited().await.unwrap();
            while watch.next().await.unwrap().is_some() {}
        }
        self.left_behind_nothing();
        ExitRecord::read(self.bundle()).unwrap().unwrap()
    }

    fn left_behind_nothing(&self) {
        for hierarchy in ["memory", "pids", "unified", ""] {
            let path = Path::new("/sys/fs/cgroup").join(hierarchy).join("berth-test").join(&self.name);
            assert!(!path.exists(), "{} is left", path.display());
        }
    }
}

fn own_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

fn specification(arguments: &[&str], name: &str) -> serde_json::Value {
    let namespaces: Vec<_> = ["mount", "pid", "ipc", "uts", "network", "user", "cgroup"]
        .map(|kind| serde_json::json!({ "type": kind }))
        .into();
    serde_json::json!({
        "ociVersion": "1.2.0",
        "process": {
            "cwd": "/",
            "args": arguments,
            "env": ["PATH=/bin"],
            "user": { "uid": 0, "gid": 0 },
        },
        "root": { "path": "rootfs" },
        "hostname": "box",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
        ],
        "linux": {
            "cgroupsPath": format!("/berth-test/{name}"),
            "namespaces": namespaces,
        },
    })
}

fn exec(id: &str, arguments: &[&str]) -> Exec {
    let process: Process = serde_json::from_value(serde_json::json!({
        "cwd": "/", "args": arguments, "env": ["PATH=/bin"], "user": { "uid": 0, "gid": 0 },
    }))
    .unwrap();
    Exec { id: id.into(), process, tty: false, stdin: false, stdout: true, stderr: true, size: None }
}

async fn read_frames(mut stream: tokio::net::UnixStream) -> Vec<u8> {
    let (mut decoder, mut bytes, mut buffer) = (berth_spec::stream::Decoder::default(), Vec::new(), vec![0; 65536]);
    while let len @ 1.. = stream.read(&mut buffer).await.unwrap() {
        decoder.push(&buffer[..len]);
        while let Some((_, frame)) = decoder.next_frame().unwrap() {
            bytes.extend_from_slice(&frame);
        }
    }
    bytes
}

async fn a_container_runs_and_its_end_is_recorded() {
    let stage = Stage::shell("echo hello; id -u; echo reopened > /dev/stdout; exit 42");
    let Spawned { pid, handle, .. } = stage.spawn().await;
    let client = handle.attach(false, true, true).await.unwrap();
    assert_eq!(handle.start().await.unwrap(), pid);
    assert_eq!(read_frames(client).await, b"hello\n0\nreopened\n");
    let record = stage.ended(&handle).await;
    assert_eq!((record.code, record.signal, record.oom_killed, record.error), (42, None, false, None));
    assert_eq!(stage.log(), b"hello\n0\nreopened\n");
    let stage = Stage::shell("kill -TERM $$; sleep 1");
    let Spawned { handle, .. } = stage.spawn().await;
    handle.start().await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    handle.signal(libc_sigkill(), false).await.unwrap();
    let record = stage.ended(&handle).await;
    assert_eq!((record.code, record.signal), (137, Some(9)), "process 1 ignores what it does not handle");
}

const fn libc_sigkill() -> i32 {
    9
}

async fn what_cannot_be_executed_is_told() {
    for (program, code) in [("/bin/missing", 127), ("/bin/noexec", 126), ("/tmp", 126)] {
        let stage = Stage::new(&[program]);
        let Spawned { handle, .. } = stage.spawn().await;
        let error = handle.start().await.unwrap_err();
        let Error::Failed(failure) = &error else { panic!("{}", chain(&error)) };
        assert_eq!((failure.step.as_str(), failure.exit_code()), ("exec", code), "{failure:?}");
        let record = stage.ended(&handle).await;
        assert_eq!(record.code, code, "{program}");
        assert_eq!(record.error.as_deref(), Some(failure.message.as_str()));
    }
}

async fn a_broken_bundle_is_told() {
    let break_and_spawn = async |file: &str, content: Option<&str>| {
        let stage = Stage::shell("true");
        match content {
            Some(content) => fs::write(stage.bundle().join(file), content).unwrap(),
            None => fs::remove_file(stage.bundle().join(file)).unwrap(),
        }
        let error = spawn(stage.bundle(), &own_program()).await.unwrap_err();
        stage.left_behind_nothing();
        assert!(!stage.bundle().join("exit.json").exists());
        let Error::Failed(failure) = error else { panic!("{}", chain(&error)) };
        failure.message
    };
    for (file, content) in [
        ("config.json", None),
        ("config.json", Some("{")),
        ("supervisor.json", None),
        ("supervisor.json", Some("[]")),
        ("berth.json", Some("nonsense")),
    ] {
        let message = break_and_spawn(file, content).await;
        assert!(message.contains(file), "{file}: {message}");
    }
    let stage = Stage::with(&["/bin/true"], |_| {}, |settings| settings.log = LogConfig::new("local").with("x", "1"));
    let error = spawn(stage.bundle(), &own_program()).await.unwrap_err();
    assert!(error.to_string().contains("unknown log opt 'x'"), "{error}");
    let error = spawn(stage.bundle(), Path::new("/no/such/berth")).await.unwrap_err();
    assert!(matches!(error, Error::Spawn { .. }));
    let error = spawn(stage.bundle(), Path::new("/bin/true")).await.unwrap_err();
    assert!(matches!(error, Error::Talk { .. }), "a supervisor that says nothing");
}

async fn execs_join_the_container() {
    let stage = Stage::shell("sleep 100");
    let Spawned { handle, .. } = stage.spawn().await;
    handle.start().await.unwrap();
    let (_, stream) =
        handle.exec(exec("a", &["/bin/sh", "-c", "cat /proc/sys/kernel/hostname; exit 9"])).await.unwrap();
    assert_eq!(read_frames(stream.unwrap()).await, b"box\n");
    assert_eq!(handle.exec_status("a").await.unwrap().code, Some(9));
    let mut request = exec("b", &["/bin/cat"]);
    request.stdin = true;
    let (_, stream) = handle.exec(request).await.unwrap();
    let mut stream = stream.unwrap();
    stream.write_all(b"through\n").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_frames(stream).await, b"through\n");
    let mut request = exec("t", &["/bin/sh", "-c", "stty size; cat"]);
    (request.tty, request.stdin, request.size) = (true, true, Some((7, 9)));
    let (_, stream) = handle.exec(request).await.unwrap();
    let mut stream = stream.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"7 9\r\n") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
    }
    handle.resize(Some("t"), 70, 90).await.unwrap();
    stream.write_all(b"\x04").await.unwrap();
    stream.read_to_end(&mut seen).await.unwrap();
    assert_eq!(handle.exec_status("t").await.unwrap().code, Some(0));
    let error = handle.exec(exec("c", &["/bin/missing"])).await.unwrap_err();
    assert!(matches!(&error, Error::Failed(failure) if failure.exit_code() == 127), "{error}");
    let (_, endless) = handle.exec(exec("d", &["/bin/sleep", "100"])).await.unwrap();
    handle.signal(libc_sigkill(), false).await.unwrap();
    assert_eq!(read_frames(endless.unwrap()).await, b"", "execs end with the container");
    assert_eq!(stage.ended(&handle).await.code, 137);
}

async fn terminals() {
    let stage = Stage::with(
        &["/bin/sh", "-c", "stty size; read x; echo got $x"],
        |spec| spec["process"]["terminal"] = true.into(),
        |settings| (settings.open_stdin, settings.size) = (true, Some((40, 100))),
    );
    let Spawned { handle, .. } = stage.spawn().await;
    let mut client = handle.attach(true, true, true).await.unwrap();
    handle.start().await.unwrap();
    client.write_all(b"word\r").await.unwrap();
    let mut seen = Vec::new();
    client.read_to_end(&mut seen).await.unwrap();
    let text = String::from_utf8_lossy(&seen).into_owned();
    assert!(text.contains("40 100\r\n") && text.ends_with("got word\r\n"), "{text:?}");
    assert_eq!(stage.ended(&handle).await.code, 0);
}

async fn the_kernel_s_kill_is_noticed() {
    let stage = Stage::with(
        &[
            "/bin/sh",
            "-c",
            "head -c 200000000 /dev/zero | tail -c 150000000; /bin/dd if=/dev/zero of=/dev/null bs=100M count=3",
        ],
        |spec| {
            spec["linux"]["resources"] = serde_json::json!({ "memory": { "limit": 20_000_000, "swap": 20_000_000 } })
        },
        |_| {},
    );
    let Spawned { handle, .. } = stage.spawn().await;
    let mut watch = handle.watch().await.unwrap();
    handle.start().await.unwrap();
    let mut told = false;
    let record = loop {
        match watch.next().await.unwrap().expect("an end") {
            berth_supervisor::protocol::Event::OomKilled => told = true,
            berth_supervisor::protocol::Event::Exited(record) => break record,
            other => panic!("{other:?}"),
        }
    };
    if !record.oom_killed {
        println!("skipped: no memory controller with limits here");
    }
    assert!(told || !record.oom_killed, "watchers are told");
    while watch.next().await.unwrap().is_some() {}
    stage.left_behind_nothing();
}

/// A daemon is here whoever holds the connections: dropping them all is what its `kill -9` does.
async fn a_daemon_killed_at_any_moment_loses_nothing() {
    for pause_ms in [0, 1, 3, 10, 40, 120] {
        let stage = Stage::shell("i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; done; sleep 0.05; exit 5");
        let Spawned { handle, .. } = stage.spawn().await;
        let (client, watch) = (handle.attach(true, true, true).await.unwrap(), handle.watch().await.unwrap());
        handle.start().await.unwrap();
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        drop((client, watch, handle));
        let record = loop {
            if let Some(record) = ExitRecord::read(stage.bundle()).unwrap() {
                break record;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(record.code, 5);
        let expected: String = (1..=300).map(|number| format!("line {number}\n")).collect();
        assert_eq!(String::from_utf8(stage.log()).unwrap(), expected, "after {pause_ms} ms");
        while Handle::connect(stage.bundle()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // Killed before the start: the next daemon finds the container at its gate.
    let stage = Stage::shell("exit 6");
    drop(stage.spawn().await);
    let handle = Handle::connect(stage.bundle()).await.unwrap();
    assert!(!handle.status().await.unwrap().started);
    handle.start().await.unwrap();
    assert_eq!(stage.ended(&handle).await.code, 6);
}

async fn a_supervisor_ignores_termination() {
    let stage = Stage::shell("sleep 0.3; exit 8");
    let Spawned { handle, supervisor_pid, .. } = stage.spawn().await;
    handle.start().await.unwrap();
    let pid = rustix::process::Pid::from_raw(supervisor_pid as i32).unwrap();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT, rustix::process::Signal::HUP] {
        rustix::process::kill_process(pid, signal).unwrap();
    }
    let session = rustix::process::getsid(Some(pid)).unwrap();
    assert_eq!(session, pid, "a session of its own");
    assert_eq!(stage.ended(&handle).await.code, 8);
}

async fn non_blocking_logs() {
    let stage = Stage::with(
        &["/bin/sh", "-c", "seq 1 20000"],
        |_| {},
        |settings| settings.log = LogConfig::new("local").with("mode", "non-blocking").with("max-buffer-size", "16m"),
    );
    let Spawned { handle, .. } = stage.spawn().await;
    handle.start().await.unwrap();
    assert_eq!(stage.ended(&handle).await.code, 0);
    let expected: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert!(stage.log() == expected.as_bytes(), "{} bytes", stage.log().len());
}

async fn a_hundred_megabytes() {
    let block = format!("{}\n", "x".repeat(99)).repeat(100_000);
    for driver in ["local", "json-file"] {
        let script = "for i in 1 2 3 4 5 6 7 8 9 10; do cat /tmp/block; done";
        let stage = Stage::with(&["/bin/sh", "-c", script], |_| {}, |settings| settings.log = LogConfig::new(driver));
        fs::write(stage.bundle().join("rootfs/tmp/block"), &block).unwrap();
        let Spawned { handle, .. } = stage.spawn().await;
        let began = Instant::now();
        handle.start().await.unwrap();
        assert_eq!(stage.ended(&handle).await.code, 0);
        let seconds = began.elapsed().as_secs_f64();
        let kept: u64 = fs::read_dir(stage.bundle())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("log"))
            .map(|entry| entry.metadata().unwrap().len())
            .sum();
        assert!(kept < 110 << 20, "bounded: {kept} bytes");
        println!("  {driver}: 100 MB in {seconds:.2} s, {:.0} MB/s, {} MiB kept", 100.0 / seconds, kept >> 20);
    }
}

async fn memory_and_latency() {
    let mut running = Vec::new();
    for _ in 0..10 {
        let stage = Stage::shell("sleep 100");
        let spawned = stage.spawn().await;
        spawned.handle.start().await.unwrap();
        running.push((stage, spawned));
    }
    let (mut shared, mut anonymous) = (0, 0);
    for (_, spawned) in &running {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", spawned.supervisor_pid)).unwrap();
        let kib = |name: &str| {
            let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        shared += kib("Pss:");
        anonymous += kib("Pss_Anon:");
    }
    println!("  ten supervisors: {} KiB PSS each, {} KiB of them anonymous", shared / 10, anonymous / 10);
    assert!(anonymous / 10 < 1024, "a supervisor is small");
    for (stage, spawned) in running {
        spawned.handle.signal(libc_sigkill(), false).await.unwrap();
        stage.ended(&spawned.handle).await;
    }
    let (mut ready, mut ended) = (Vec::new(), Vec::new());
    for _ in 0..30 {
        let stage = Stage::new(&["/bin/true"]);
        let began = Instant::now();
        let Spawned { handle, .. } = stage.spawn().await;
        ready.push(began.elapsed());
        let mut watch = handle.watch().await.unwrap();
        handle.start().await.unwrap();
        watch.exited().await.unwrap();
        ended.push(began.elapsed());
        while watch.next().await.unwrap().is_some() {}
    }
    ready.sort();
    ended.sort();
    let stage = Stage::shell("sleep 100");
    let Spawned { handle, .. } = stage.spawn().await;
    handle.start().await.unwrap();
    let mut execs = Vec::new();
    for number in 0..30 {
        let began = Instant::now();
        let (_, stream) = handle.exec(exec(&number.to_string(), &["/bin/true"])).await.unwrap();
        read_frames(stream.unwrap()).await;
        execs.push(began.elapsed());
    }
    execs.sort();
    handle.signal(libc_sigkill(), false).await.unwrap();
    stage.ended(&handle).await;
    println!("  exec of true to its end {:.2?} (median of 30)", execs[15]);
    println!("  spawn to ready {:.2?}, to exit {:.2?} (median of 30)", ready[15], ended[15]);
}
