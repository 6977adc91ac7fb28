//! The loop on the trivial isolation: plain processes, no namespaces.

use std::{
    fs,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{net::UnixStream as StdStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use berth_log::{LogConfig, ReadOptions, Reader};
use berth_spec::stream::{Decoder, Stream};
use oci_spec::runtime::{Process, ProcessBuilder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::{build, stdio};
use crate::{
    Error, ExitRecord, Handle, Settings,
    client::receive,
    isolation::{Child, Ended, Isolation, Stdio},
    protocol::{Event, Exec, Failure, Reply},
};

/// Processes of the host. The gate is a fifo.
struct Plain {
    dir: PathBuf,
    arguments: Vec<String>,
    pids: Vec<i32>,
}

impl Plain {
    fn spawn(&mut self, arguments: &[String], streams: Stdio) -> Result<Child, Failure> {
        let fail = |error: std::io::Error| Failure::errno("exec", rustix::io::Errno::from_io_error(&error).unwrap());
        let (mut command, terminal) = match streams {
            Stdio::Pipes { stdin, stdout, stderr } => {
                let mut command = Command::new(&arguments[0]);
                command.stdin(stdin).stdout(stdout).stderr(stderr).process_group(0);
                (command, None)
            }
            Stdio::Terminal { size } => {
                let pair = berth_sys::pty::open().map_err(|errno| Failure::errno("open a terminal", errno))?;
                if let Some((rows, cols)) = size {
                    berth_sys::pty::resize(pair.master.as_fd(), rows, cols).unwrap();
                }
                let copy = || pair.slave.try_clone().unwrap();
                let mut command = Command::new("setsid");
                command.arg("--ctty").arg(&arguments[0]).stdin(copy()).stdout(copy()).stderr(copy());
                (command, Some(pair.master))
            }
        };
        let child = command.args(&arguments[1..]).spawn().map_err(fail)?;
        let pid = child.id() as i32;
        self.pids.push(pid);
        let ended = berth_sys::pidfd::open(pid).map_err(|errno| Failure::errno("open the process", errno))?;
        Ok(Child { pid, ended, terminal })
    }
}

impl Isolation for Plain {
    fn create(&mut self, streams: Stdio) -> Result<Child, Failure> {
        let gate = self.dir.join("gate");
        let made = Command::new("mkfifo").arg(&gate).status().unwrap();
        assert!(made.success());
        let script = "read -r go < \"$0\"; exec \"$@\"";
        let mut arguments: Vec<String> = ["/bin/sh", "-c", script].map(String::from).into();
        arguments.push(gate.display().to_string());
        arguments.extend(self.arguments.clone());
        self.spawn(&arguments, streams)
    }

    fn release(&mut self) -> Result<(), Failure> {
        fs::write(self.dir.join("gate"), "go\n").map_err(|_| Failure::new("exec", "no gate"))
    }

    fn exec(&mut self, process: &Process, streams: Stdio) -> Result<Child, Failure> {
        self.spawn(&process.args().clone().unwrap(), streams)
    }

    fn collect(&mut self, child: &Child) -> Option<Ended> {
        berth_sys::pidfd::try_wait(child.ended.as_fd()).ok().flatten()
    }

    fn signal(&mut self, child: &Child, signal: i32) -> Result<(), Failure> {
        berth_sys::pidfd::send_signal(child.ended.as_fd(), signal).map_err(|errno| Failure::errno("signal", errno))
    }

    fn signal_all(&mut self, signal: i32) -> Result<(), Failure> {
        for pid in &self.pids {
            let group = rustix::process::Pid::from_raw(*pid).unwrap();
            let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
            let _ = rustix::process::kill_process_group(group, signal);
        }
        Ok(())
    }

    fn clear(&mut self) {
        let _ = self.signal_all(9);
    }

    fn remove(&mut self) {}
}

/// A supervisor in a thread, with a container at its gate.
struct Stage {
    dir: tempfile::TempDir,
    thread: JoinHandle<()>,
    handle: Handle,
}

impl Stage {
    async fn new(arguments: &[&str], tty: bool, adjust: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Longer than sun_path allows.
        let bundle = dir.path().join("b".repeat(120));
        fs::create_dir(&bundle).unwrap();
        let mut settings = Settings::new(LogConfig::new("local"), bundle.join("log"));
        adjust(&mut settings);
        settings.write(&bundle).unwrap();
        let (ours, theirs) = StdStream::pair().unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let place = bundle.clone();
        let thread = std::thread::spawn(move || {
            let plain = Plain { dir: place.clone(), arguments, pids: Vec::new() };
            let mut supervisor = build(&place, Box::new(plain), tty).unwrap();
            stdio::set_nonblocking(theirs.as_fd()).unwrap();
            supervisor.adopt(OwnedFd::from(theirs));
            supervisor.run().unwrap();
        });
        ours.set_nonblocking(true).unwrap();
        let mut stream = UnixStream::from_std(ours).unwrap();
        assert!(matches!(receive(&bundle, &mut stream).await.unwrap(), Reply::Ready { .. }));
        Self { dir, thread, handle: Handle::over(&bundle, stream) }
    }

    async fn shell(script: &str) -> Self {
        Self::new(&["/bin/sh", "-c", script], false, |_| {}).await
    }

    fn bundle(&self) -> &Path {
        self.handle.bundle()
    }

    /// Waits for the end, and for the supervisor to go.
    async fn ended(self) -> (ExitRecord, Vec<u8>) {
        let record = match self.handle.watch().await {
            Ok(mut watch) => {
                let record = watch.exited().await.unwrap();
                assert_eq!(watch.next().await.unwrap(), None, "nothing follows the end");
                record
            }
            Err(_) => ExitRecord::read(self.bundle()).unwrap().expect("a record on disk"),
        };
        self.thread.join().unwrap();
        assert_eq!(ExitRecord::read(self.handle.bundle()).unwrap().as_ref(), Some(&record));
        assert!(Handle::connect(self.handle.bundle()).await.is_err(), "the supervisor is gone");
        let reader = Reader::open("local", &self.handle.bundle().join("log"), ReadOptions::default());
        let log = reader.map(|reader| reader.flat_map(|record| record.unwrap().bytes).collect()).unwrap_or_default();
        drop(self.dir);
        (record, log)
    }
}

fn exec(id: &str, arguments: &[&str]) -> Exec {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let process = ProcessBuilder::default().args(arguments).build().unwrap();
    Exec { id: id.into(), process, tty: false, stdin: false, stdout: true, stderr: true, size: None }
}

/// Reads frames to the end: standard output and standard error.
async fn read_all(stream: &mut UnixStream) -> (Vec<u8>, Vec<u8>) {
    let (mut decoder, mut out, mut err) = (Decoder::default(), Vec::new(), Vec::new());
    let mut buffer = vec![0; 65536];
    loop {
        let len = stream.read(&mut buffer).await.unwrap();
        if len == 0 {
            return (out, err);
        }
        decoder.push(&buffer[..len]);
        while let Some((stream, bytes)) = decoder.next_frame().unwrap() {
            if stream == Stream::Stderr { &mut err } else { &mut out }.extend_from_slice(&bytes);
        }
    }
}

#[tokio::test]
async fn output_reaches_log_and_clients_and_the_code_is_recorded() {
    let stage = Stage::shell("echo out; echo err >&2; printf unfinished; exit 3").await;
    let state = stage.handle.status().await.unwrap();
    assert!(!state.started && !state.running && state.pid > 0);
    let mut client = stage.handle.attach(false, true, true).await.unwrap();
    stage.handle.start().await.unwrap();
    assert_eq!(read_all(&mut client).await, (b"out\nunfinished".to_vec(), b"err\n".to_vec()));
    let (record, mut log) = stage.ended().await;
    assert_eq!((record.code, record.signal, record.oom_killed, record.error), (3, None, false, None));
    log.sort_unstable();
    let mut expected = b"out\nerr\nunfinished".to_vec();
    expected.sort_unstable();
    assert_eq!(log, expected);
}

#[tokio::test]
async fn the_socket_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::shell("true").await;
    let mode = fs::metadata(stage.bundle().join("supervisor.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    stage.handle.start().await.unwrap();
    assert_eq!(stage.ended().await.0.code, 0);
}

#[tokio::test]
async fn a_client_that_left_in_two_steps_is_forgotten_though_the_container_is_silent() {
    const CLIENTS: usize = 200;
    let stage = Stage::shell("read -r line; echo \"heard $line\"; exec sleep 60").await;
    stage.handle.start().await.unwrap();
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let mut patient = stage.handle.attach(false, true, true).await.unwrap();
    patient.shutdown().await.unwrap();
    let before = open();
    for _ in 0..CLIENTS {
        let mut client = stage.handle.attach(true, true, true).await.unwrap();
        client.shutdown().await.unwrap();
        // Time to see that the input has ended, before all has.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let end = Instant::now() + Duration::from_secs(10);
    while open() > before + CLIENTS / 2 {
        assert!(Instant::now() < end, "{} descriptors were {before}", open());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Who has only ended its input still listens.
    stage.handle.signal(15, true).await.unwrap();
    read_all(&mut patient).await;
    stage.ended().await;
}

#[tokio::test]
async fn standard_input_flows_and_ends_once() {
    let stage = Stage::new(&["/bin/cat"], false, |settings| {
        settings.open_stdin = true;
        settings.stdin_once = true;
    })
    .await;
    let mut client = stage.handle.attach(true, true, true).await.unwrap();
    stage.handle.start().await.unwrap();
    let sent: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    let (mut read, mut write) = client.split();
    let send = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let receive = async {
        let (mut decoder, mut out, mut buffer) = (Decoder::default(), Vec::new(), vec![0; 65536]);
        while let len @ 1.. = read.read(&mut buffer).await.unwrap() {
            decoder.push(&buffer[..len]);
            while let Some((_, bytes)) = decoder.next_frame().unwrap() {
                out.extend_from_slice(&bytes);
            }
        }
        out
    };
    let ((), received) = tokio::join!(send, receive);
    assert!(received == sent, "{} of {} bytes came back", received.len(), sent.len());
    let (record, log) = stage.ended().await;
    assert_eq!(record.code, 0);
    assert!(log == sent, "the log is exact");
}

#[tokio::test]
async fn without_stdin_once_clients_come_and_go() {
    let stage = Stage::new(&["/bin/cat"], false, |settings| settings.open_stdin = true).await;
    stage.handle.start().await.unwrap();
    for round in 0..3 {
        let mut client = stage.handle.attach(true, true, false).await.unwrap();
        client.write_all(format!("round {round}\n").as_bytes()).await.unwrap();
        let mut head = [0; 8 + 8];
        client.read_exact(&mut head).await.unwrap();
        assert_eq!(&head[8..], format!("round {round}\n").as_bytes());
    }
    assert!(stage.handle.status().await.unwrap().running);
    stage.handle.close_stdin().await.unwrap();
    let (record, log) = stage.ended().await;
    assert_eq!((record.code, log), (0, b"round 0\nround 1\nround 2\n".to_vec()));
}

#[tokio::test]
async fn a_container_outlives_every_client() {
    let stage = Stage::shell("for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; sleep 0.02; done; exit 7").await;
    let client = stage.handle.attach(true, true, true).await.unwrap();
    let watch = stage.handle.watch().await.unwrap();
    stage.handle.start().await.unwrap();
    drop((client, watch));
    let half = stage.handle.attach(false, true, true).await.unwrap();
    let (record, log) = stage.ended().await;
    drop(half);
    assert_eq!(record.code, 7);
    let expected: String = (1..=10).map(|number| format!("line {number}\n")).collect();
    assert_eq!(String::from_utf8(log).unwrap(), expected);
}

#[tokio::test]
async fn signals_are_recorded() {
    let stage = Stage::shell("sleep 100").await;
    stage.handle.start().await.unwrap();
    let refused = stage.handle.signal(0, false).await.unwrap_err();
    assert!(refused.to_string().contains("invalid signal"));
    stage.handle.signal(9, false).await.unwrap();
    let (record, _) = stage.ended().await;
    assert_eq!((record.code, record.signal), (137, Some(9)));
}

#[tokio::test]
async fn a_container_that_was_never_started_can_be_killed() {
    let stage = Stage::shell("echo never").await;
    stage.handle.signal(9, true).await.unwrap();
    let (record, log) = stage.ended().await;
    assert_eq!((record.code, log.len()), (137, 0));
}

#[tokio::test]
async fn execs_run_side_by_side() {
    let stage = Stage::shell("sleep 100").await;
    let refused = stage.handle.exec(exec("early", &["/bin/true"])).await.unwrap_err();
    assert!(refused.to_string().contains("not running"));
    stage.handle.start().await.unwrap();
    let mut watch = stage.handle.watch().await.unwrap();
    let script = |code: i32| format!("echo out {code}; echo err {code} >&2; exit {code}");
    let (_, first) = stage.handle.exec(exec("a", &["/bin/sh", "-c", &script(1)])).await.unwrap();
    let (_, second) = stage.handle.exec(exec("b", &["/bin/sh", "-c", &script(2)])).await.unwrap();
    for (stream, code) in [(second, 2), (first, 1)] {
        let (out, err) = read_all(&mut stream.unwrap()).await;
        assert_eq!(String::from_utf8(out).unwrap(), format!("out {code}\n"));
        assert_eq!(String::from_utf8(err).unwrap(), format!("err {code}\n"));
    }
    for (id, code) in [("a", 1), ("b", 2)] {
        assert_eq!(stage.handle.exec_status(id).await.unwrap().code, Some(code), "known when the stream has ended");
    }
    let mut told = Vec::new();
    for _ in 0..2 {
        match watch.next().await.unwrap().unwrap() {
            Event::ExecExited { id, code } => told.push((id, code)),
            other => panic!("{other:?}"),
        }
    }
    told.sort();
    assert_eq!(told, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    let again = stage.handle.exec(exec("a", &["/bin/true"])).await.unwrap_err();
    assert!(again.to_string().contains("already started"));
    let missing = stage.handle.exec(exec("c", &["/no/such/program"])).await.unwrap_err();
    assert!(matches!(missing, Error::Failed(failure) if failure.exit_code() == 127));
    assert!(stage.handle.exec_status("z").await.unwrap_err().to_string().contains("No such exec"));
    stage.handle.signal(9, true).await.unwrap();
    assert_eq!(stage.ended().await.0.code, 137);
}

#[tokio::test]
async fn an_exec_waits_for_a_slow_client_and_loses_nothing() {
    let stage = Stage::shell("sleep 100").await;
    stage.handle.start().await.unwrap();
    let command = ["/bin/sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x"];
    let (_, stream) = stage.handle.exec(exec("a", &command)).await.unwrap();
    let mut stream = stream.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stage.handle.exec_status("a").await.unwrap().code, None, "it waits");
    assert_eq!(read_all(&mut stream).await.0.len(), 5_000_000);
    stage.handle.signal(9, false).await.unwrap();
    stage.ended().await;
}

#[tokio::test]
async fn a_daemon_left_behind_does_not_keep_the_stream() {
    let stage = Stage::shell("sleep 100").await;
    stage.handle.start().await.unwrap();
    let began = Instant::now();
    let (_, stream) = stage.handle.exec(exec("a", &["/bin/sh", "-c", "sleep 5 & echo started"])).await.unwrap();
    assert_eq!(read_all(&mut stream.unwrap()).await.0, b"started\n");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let noisy = ["/bin/sh", "-c", "while :; do echo x; sleep 0.01; done & echo started"];
    let (_, stream) = stage.handle.exec(exec("b", &noisy)).await.unwrap();
    read_all(&mut stream.unwrap()).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    stage.handle.signal(9, true).await.unwrap();
    stage.ended().await;
}

#[tokio::test]
async fn exec_standard_input_ends_with_the_client() {
    let stage = Stage::shell("sleep 100").await;
    stage.handle.start().await.unwrap();
    let mut request = exec("a", &["/bin/sh", "-c", "cat; echo end"]);
    request.stdin = true;
    let (_, stream) = stage.handle.exec(request).await.unwrap();
    let mut stream = stream.unwrap();
    stream.write_all(b"some input\n").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_all(&mut stream).await.0, b"some input\nend\n");
    // A detached exec leaves the connection to requests and its output to nobody.
    let mut detached = exec("d", &["/bin/sh", "-c", "echo unheard; exit 4"]);
    (detached.stdout, detached.stderr) = (false, false);
    assert!(stage.handle.exec(detached).await.unwrap().1.is_none());
    while stage.handle.exec_status("d").await.unwrap().code != Some(4) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stage.handle.signal(9, false).await.unwrap();
    assert_eq!(stage.ended().await.1, b"", "execs are not logged");
}

#[tokio::test]
async fn terminals_have_sizes_and_raw_bytes() {
    let script = "stty size; read line; stty size; echo \"got $line\"";
    let stage = Stage::new(&["/bin/sh", "-c", script], true, |settings| settings.size = Some((11, 22))).await;
    let mut client = stage.handle.attach(true, true, true).await.unwrap();
    stage.handle.start().await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"11 22\r\n") {
        assert!(client.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
    }
    stage.handle.resize(None, 33, 44).await.unwrap();
    client.write_all(b"hello\r").await.unwrap();
    client.read_to_end(&mut seen).await.unwrap();
    let text = String::from_utf8(seen).unwrap();
    assert!(text.ends_with("hello\r\n33 44\r\ngot hello\r\n"), "{text:?}");
    assert!(stage.ended().await.1.ends_with(b"got hello\r\n"));
}

#[tokio::test]
async fn a_terminal_nobody_has_open_does_not_spin() {
    let stage = Stage::new(&["/bin/sh", "-c", "exec <&- >&- 2>&-; sleep 0.3; exit 5"], true, |_| {}).await;
    stage.handle.start().await.unwrap();
    assert_eq!(stage.ended().await.0.code, 5);
}

#[tokio::test]
async fn hostile_clients_are_refused_and_the_container_goes_on() {
    let stage = Stage::shell("sleep 100").await;
    stage.handle.start().await.unwrap();
    let frame = |body: &[u8]| [&(body.len() as u32).to_le_bytes()[..], body].concat();
    let hostile: [(&str, Vec<u8>); 8] = [
        ("no JSON", frame(b"hello")),
        ("no request", frame(b"{\"Explode\":{}}")),
        ("a wrong type", frame(b"{\"Signal\":{\"signal\":\"KILL\",\"all\":1}}")),
        ("a number out of range", frame(b"{\"Resize\":{\"exec\":null,\"rows\":99999,\"cols\":1}}")),
        ("an empty frame", frame(b"")),
        ("deep nesting", frame(&b"[".repeat(100_000))),
        ("a frame too long", u32::MAX.to_le_bytes().to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ];
    for (name, bytes) in hostile {
        let handle = Handle::connect(stage.bundle()).await.unwrap();
        let mut stream = handle.attach(false, false, false).await.unwrap();
        drop(handle);
        // A stream takes no requests: whatever is written to it is input, here unwanted.
        stream.write_all(&bytes).await.unwrap();
        drop(stream);
        let directory = crate::path::SocketPath::in_bundle(stage.bundle()).unwrap();
        let mut raw = UnixStream::connect(directory.get()).await.unwrap();
        raw.write_all(&bytes).await.unwrap();
        let refused = receive(stage.bundle(), &mut raw).await.unwrap_err();
        assert!(matches!(&refused, Error::Failed(failure) if failure.step == "request"), "{name}: {refused}");
        let mut rest = Vec::new();
        assert_eq!(raw.read_to_end(&mut rest).await.unwrap(), 0, "{name}: closed");
    }
    let directory = crate::path::SocketPath::in_bundle(stage.bundle()).unwrap();
    for cut in 0..8 {
        let mut raw = UnixStream::connect(directory.get()).await.unwrap();
        raw.write_all(&frame(b"\"Status\"")[..cut]).await.unwrap();
    }
    assert!(stage.handle.status().await.unwrap().running);
    stage.handle.signal(9, false).await.unwrap();
    assert_eq!(stage.ended().await.0.code, 137);
}

#[tokio::test]
async fn a_frozen_client_is_dropped_and_the_container_goes_on() {
    let stage = Stage::shell("head -c 20000000 /dev/zero").await;
    let frozen = stage.handle.attach(false, true, true).await.unwrap();
    let mut reading = stage.handle.attach(false, true, true).await.unwrap();
    stage.handle.start().await.unwrap();
    let began = Instant::now();
    assert_eq!(read_all(&mut reading).await.0.len(), 20_000_000, "other clients lose nothing");
    assert!(began.elapsed() < Duration::from_secs(15));
    assert!(frozen.as_raw_fd() >= 0);
    let (record, log) = stage.ended().await;
    assert_eq!((record.code, log.len()), (0, 20_000_000));
}

#[tokio::test]
async fn binary_output_is_logged_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let script = format!("head -c 8000000 /dev/urandom | tee {}", copy.display());
    let stage = Stage::shell(&script).await;
    stage.handle.start().await.unwrap();
    let (record, log) = stage.ended().await;
    assert_eq!(record.code, 0);
    assert!(log == fs::read(copy).unwrap(), "{} bytes", log.len());
}
