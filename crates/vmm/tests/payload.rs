//! Machines with tiny guests: they run where KVM is, even where it is only emulated and no kernel boots.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use berth_vmm::{
    Error,
    config::{Config, Entry},
    machine::{Machine, Outcome},
};

/// Where the guest's program lies.
const PROGRAM: u64 = 0x10_0000;
/// A guest that only has to say a word does it within this time.
const LIMIT: Duration = Duration::from_secs(20);

/// Instructions, which are the same in 32-bit and 64-bit mode.
mod code {
    /// `mov dx, 0x3f8; mov al, byte; out dx, al` for each byte.
    pub fn say(text: &str) -> Vec<u8> {
        let mut code = vec![0x66, 0xba, 0xf8, 0x03];
        code.extend(text.bytes().flat_map(|byte| [0xb0, byte, 0xee]));
        code
    }

    /// `mov al, 0xfe; out 0x64, al; hlt`: the keyboard controller resets the machine.
    pub const RESET: &[u8] = &[0xb0, 0xfe, 0xe6, 0x64, 0xf4];
    /// `mov dx, 0x600; mov al, 0x34; out dx, al; hlt`: ACPI's soft off.
    pub const OFF: &[u8] = &[0x66, 0xba, 0x00, 0x06, 0xb0, 0x34, 0xee, 0xf4];
    /// `lidt` of nothing, `int3`: a triple fault.
    pub const CRASH: &[u8] = &[0x0f, 0x01, 0x1c, 0x25, 0x00, 0x05, 0x00, 0x00, 0xcc];
    /// `pause; jmp -2`.
    pub const SPIN: &[u8] = &[0xf3, 0x90, 0xeb, 0xfc];
    /// 32-bit: `mov ebx, 0xd0000000; mov eax, [ebx]; mov dx, 0x3f8`, then the four bytes of `eax`.
    pub const SAY_MAGIC: &[u8] = &[
        0xbb, 0x00, 0x00, 0x00, 0xd0, 0x8b, 0x03, 0x66, 0xba, 0xf8, 0x03, 0xee, 0xc1, 0xe8, 0x08, 0xee, 0xc1, 0xe8,
        0x08, 0xee, 0xc1, 0xe8, 0x08, 0xee,
    ];
    /// 32-bit: `mov esi, [ebx + 24]` (the command line of the start info), then says it:
    /// `mov dx, 0x3f8; next: lodsb; test al, al; jz done; out dx, al; jmp next`.
    pub const SAY_COMMAND_LINE: &[u8] =
        &[0x8b, 0x73, 0x18, 0x66, 0xba, 0xf8, 0x03, 0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8];
}

/// An ELF image with one segment, and a note that names it as the PVH entry (elf(5)).
fn image(directory: &Path, code: &[u8]) -> PathBuf {
    const HEADERS: u64 = 64 + 2 * 56;
    let note = [
        &4_u32.to_le_bytes()[..],
        &4_u32.to_le_bytes(),
        &18_u32.to_le_bytes(),
        b"Xen\0",
        &(PROGRAM as u32).to_le_bytes(),
    ]
    .concat();
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2_u16, 62].iter().flat_map(|half| half.to_le_bytes()));
    elf.extend(1_u32.to_le_bytes());
    elf.extend([PROGRAM, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    elf.extend(0_u32.to_le_bytes());
    elf.extend([64_u16, 56, 2, 0, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    let segments =
        [(1_u32, HEADERS + note.len() as u64, PROGRAM, code.len() as u64), (4, HEADERS, 0, note.len() as u64)];
    for (kind, offset, at, len) in segments {
        elf.extend([kind, 5].iter().flat_map(|word| word.to_le_bytes()));
        elf.extend([offset, at, at, len, len, 4].iter().flat_map(|word| word.to_le_bytes()));
    }
    elf.extend(note);
    elf.extend(code);
    let path = directory.join("payload");
    std::fs::write(&path, elf).expect("write");
    path
}

fn config(directory: &Path, entry: Entry, code: &[u8]) -> Config {
    let kernel = image(directory, code);
    let text =
        serde_json::json!({"kernel": kernel, "memory_bytes": 8 << 20, "command_line": "hello=world", "jail": false});
    Config { entry, ..Config::parse(text.to_string().as_bytes()).expect("config") }
}

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("lock")).into_owned()
    }
}

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The machine, where KVM lets one be built.
fn build(config: &Config) -> Option<(Machine, Said)> {
    let said = Said::default();
    match Machine::build(config, Box::new(said.clone())) {
        Ok(machine) => Some((machine, said)),
        Err(error @ Error::Kvm { .. }) => {
            println!("skipped: {}", error.chain());
            None
        }
        Err(error) => panic!("{}", error.chain()),
    }
}

/// Runs a guest; how it ended, and what it said.
fn run(config: &Config) -> Option<(Outcome, String)> {
    let (machine, said) = build(config)?;
    let outcome = machine.run().expect("run");
    Some((outcome, said.text()))
}

#[test]
fn a_guest_that_is_entered_by_pvh_speaks_and_resets() {
    let directory = tempfile::tempdir().expect("tempdir");
    let code = [code::SAY_COMMAND_LINE, &code::say("!"), code::RESET].concat();
    let Some((outcome, said)) = run(&config(directory.path(), Entry::Auto, &code)) else { return };
    assert_eq!((outcome, said.as_str()), (Outcome::Reset, "hello=world!"));
}

#[test]
fn a_guest_that_is_entered_in_64_bit_mode_speaks_and_switches_off() {
    let directory = tempfile::tempdir().expect("tempdir");
    let code = [&code::say("long")[..], code::OFF].concat();
    let Some((outcome, said)) = run(&config(directory.path(), Entry::Long, &code)) else { return };
    assert_eq!((outcome, said.as_str()), (Outcome::PowerOff, "long"));
}

#[test]
fn a_guest_that_crashes_ends() {
    let directory = tempfile::tempdir().expect("tempdir");
    let code = [&code::say("x")[..], code::CRASH].concat();
    let Some((outcome, said)) = run(&config(directory.path(), Entry::Long, &code)) else { return };
    assert_eq!(said, "x");
    assert!(matches!(outcome, Outcome::Reset | Outcome::Failed(_)), "{outcome:?}");
}

#[test]
fn devices_are_behind_their_windows() {
    let directory = tempfile::tempdir().expect("tempdir");
    let code = [code::SAY_MAGIC, code::RESET].concat();
    let Some((outcome, said)) = run(&config(directory.path(), Entry::Pvh, &code)) else { return };
    assert_eq!((outcome, said.as_str()), (Outcome::Reset, "virt"));
}

/// Asks a machine over its control socket.
struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(path: &Path) -> Self {
        let started = Instant::now();
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => return Self(BufReader::new(stream)),
                Err(error) => assert!(started.elapsed() < LIMIT, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn ask(&mut self, request: &str) -> serde_json::Value {
        self.0.get_mut().write_all(format!("{request}\n").as_bytes()).expect("ask");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("answer");
        serde_json::from_str(&line).expect("JSON")
    }
}

#[test]
fn a_machine_is_asked_paused_and_stopped_while_its_guest_spins() {
    let directory = tempfile::tempdir().expect("tempdir");
    let mut config = config(directory.path(), Entry::Pvh, &[&code::say("s")[..], code::SPIN].concat());
    let socket = directory.path().join("control");
    config.control = Some(socket.clone());
    config.vcpus = 2;
    let Some((machine, said)) = build(&config) else { return };
    let running = std::thread::spawn(move || machine.run().expect("run"));
    let mut client = Client::connect(&socket);
    assert_eq!(client.ask(r#"{"do": "status"}"#)["return"]["phase"], "running");
    for _ in 0..20 {
        assert_eq!(client.ask(r#"{"do": "pause"}"#)["return"]["phase"], "paused");
        assert_eq!(client.ask(r#"{"do": "resume"}"#)["return"]["phase"], "running");
    }
    assert!(client.ask(r#"{"do": "fly"}"#)["error"].is_string());
    assert!(client.ask("nonsense")["error"].is_string());
    let started = Instant::now();
    while said.text().is_empty() {
        assert!(started.elapsed() < LIMIT, "the guest does not run");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(client.ask(r#"{"do": "balloon", "bytes": 4194304}"#)["return"]["balloon_bytes"], 0);
    client.ask(r#"{"do": "stop"}"#);
    assert_eq!(running.join().expect("join"), Outcome::Stopped);
}

#[test]
fn a_machine_goes_on_from_its_snapshot_and_leaves_it_as_it_was() {
    let directory = tempfile::tempdir().expect("tempdir");
    // Says `a`, spins until the byte at 0x8000 is set, says `b`, and clears it.
    let wait: &[u8] = &[0xbf, 0x00, 0x80, 0x00, 0x00, 0xf3, 0x90, 0x80, 0x3f, 0x00, 0x74, 0xf9];
    let code = [&code::say("a")[..], wait, &code::say("b"), &[0xc6, 0x07, 0x00], code::RESET].concat();
    let mut config = config(directory.path(), Entry::Pvh, &code);
    let socket = directory.path().join("control");
    config.control = Some(socket.clone());
    let Some((machine, said)) = build(&config) else { return };
    let running = std::thread::spawn(move || machine.run().expect("run"));
    let mut client = Client::connect(&socket);
    let started = Instant::now();
    while said.text() != "a" {
        assert!(started.elapsed() < LIMIT, "the guest does not run");
        std::thread::sleep(Duration::from_millis(2));
    }
    let snapshot = directory.path().join("snapshot");
    let answer = client.ask(&serde_json::json!({"do": "snapshot", "directory": snapshot}).to_string());
    client.ask(r#"{"do": "stop"}"#);
    assert_eq!(running.join().expect("join"), Outcome::Stopped);
    if let Some(error) = answer["error"].as_str() {
        println!("skipped: {error}");
        return;
    }
    // The byte is set in the memory's file: the guest sees it when it goes on, twice.
    let memory = std::fs::File::options().write(true).open(snapshot.join("memory")).expect("memory");
    std::os::unix::fs::FileExt::write_all_at(&memory, &[1], 0x8000).expect("write");
    let before = std::fs::read(snapshot.join("memory")).expect("read");
    config.restore = Some(snapshot.clone());
    for _ in 0..2 {
        let (outcome, said) = run(&config).expect("KVM was there");
        assert_eq!((outcome, said.as_str()), (Outcome::Reset, "b"));
    }
    assert!(before == std::fs::read(snapshot.join("memory")).expect("read"), "the snapshot was written to");
    config.memory_bytes *= 2;
    assert!(Machine::build(&config, Box::new(Said::default())).is_err(), "another shape is refused");
}
