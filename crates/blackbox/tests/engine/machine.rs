//! Machines of their own: a Debian kernel with a shell on its serial port, through every verb.
//!
//! They boot machines without hardware help where there is none, so that they have a target of their own: `make test-vm`,
//! which sets `BERTH_TEST_VM`. What needs no guest is tried in `make test`.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use berth_blackbox::{Engine, eventually, machine, skip};
use serde_json::{Value, json};

macro_rules! engine {
    () => {{
        if std::env::var_os("BERTH_TEST_VM").is_none() {
            skip!("machines are tried by make test-vm");
        }
        match machine::obtain_kernel() {
            Ok((kernel, modules)) => {
                let engine = Engine::start_empty(&[]);
                let initramfs = engine.place().join("initramfs");
                match machine::initramfs(&initramfs, &modules) {
                    Ok(()) => (engine, kernel, initramfs),
                    Err(why) => skip!("{why}"),
                }
            }
            Err(why) => skip!("{why}"),
        }
    }};
}

/// What the guest's kernel is told.
const LINE: &str = "console=ttyS0 quiet panic=-1 rdinit=/init random.trust_cpu=on";

/// Seconds that an interpreted guest may take to boot on a busy machine.
const BOOT_S: u64 = 90;

fn create(engine: &Engine, name: &str, kernel: &Path, initramfs: &Path, more: &[&str]) {
    let (kernel, initramfs) = (kernel.display().to_string(), initramfs.display().to_string());
    let mut line = vec!["vm", "create", "--kernel", &kernel, "--initrd", &initramfs, "--cmdline", LINE, "-m", "128m"];
    line.extend(more);
    line.push(name);
    assert_eq!(engine.berth(&line).ok(), name);
}

fn status(engine: &Engine, name: &str) -> String {
    inspect(engine, name)["Status"].as_str().expect("a status").to_owned()
}

fn inspect(engine: &Engine, name: &str) -> Value {
    engine.http().get(&format!("/vm/machines/{name}")).expect(200).json()
}

/// A guest's shell on its serial port.
struct Port {
    stream: UnixStream,
    heard: String,
}

impl Port {
    fn open(engine: &Engine, name: &str) -> Self {
        let mut stream = UnixStream::connect(engine.socket()).expect("the daemon listens");
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let request = format!(
            "POST /vm/machines/{name}/console HTTP/1.1\r\nHost: x\r\nUser-Agent: berth\r\nConnection: Upgrade\r\n\
             Upgrade: tcp\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("a request");
        let mut port = Self { stream, heard: String::new() };
        port.expect("101", 20);
        port
    }

    /// Waits until the guest says `word`; what it said before is forgotten.
    fn expect(&mut self, word: &str, seconds: u64) -> String {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(at) = self.heard.find(word) {
                let before = self.heard[..at + word.len()].to_owned();
                self.heard.drain(..at + word.len());
                return before;
            }
            assert!(Instant::now() < end, "the guest does not say {word:?} but {:?}", self.heard);
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the port ended before {word:?}: {:?}", self.heard),
                Ok(read) => self.heard.push_str(&String::from_utf8_lossy(&buffer[..read])),
                Err(_) => {}
            }
        }
    }

    /// Has the guest's shell do something, and waits for `answer`, which the line itself must not hold.
    fn ask(&mut self, line: &str, answer: &str) {
        assert!(!line.contains(answer), "the echo would do");
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("typing");
        self.expect(answer, 30);
    }
}

/// The process that has a path as an argument of its own.
fn process_with(path: &Path) -> Option<u32> {
    let pids = listed("/proc".into()).into_iter().filter_map(|name| name.parse::<u32>().ok());
    let has = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|part| part == path.as_os_str().as_encoded_bytes())
    };
    pids.into_iter().find(has)
}

/// The names of everything in a directory; none without one.
fn listed(directory: PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_machine_lives_through_every_verb() {
    let (engine, kernel, initramfs) = engine!();
    create(&engine, "one", &kernel, &initramfs, &["--disk", "size=1m,name=root", "--autostart"]);
    assert_eq!(status(&engine, "one"), "off");
    engine.berth(&["vm", "start", "one"]).ok();
    assert_eq!(status(&engine, "one"), "running");
    let mut port = Port::open(&engine, "one");
    port.expect("SHELL READY", BOOT_S);
    port.ask(
        "X=he; Y=ld; printf before | dd of=/dev/vda conv=notrunc 2>/dev/null; sync; echo wrote-$((40+2))",
        "wrote-42",
    );

    // Live, memory and disk.
    engine.berth(&["vm", "snapshot", "one", "early"]).ok();
    let rows = engine.berth(&["vm", "snapshot", "one"]).ok();
    assert!(rows.contains("early") && rows.contains("true"), "{rows}");
    port.ask(
        "X=lo; Y=st; printf after! | dd of=/dev/vda conv=notrunc 2>/dev/null; sync; echo wrote-$((40+3))",
        "wrote-43",
    );

    // Suspended to disk: no monitor is left, and it goes on where it was, whatever it is to be at its next start.
    assert!(engine.berth(&["vm", "set", "--memory", "160m", "one"]).stderr.contains("next start"));
    engine.berth(&["vm", "suspend", "one"]).ok();
    assert_eq!(status(&engine, "one"), "suspended");
    engine.berth(&["vm", "set", "--memory", "256m", "one"]).fails("suspended");
    engine.berth(&["vm", "resume", "one"]).ok();
    let mut port = Port::open(&engine, "one");
    port.ask("echo is-$X$Y", "is-lost");

    // In memory.
    engine.berth(&["vm", "suspend", "--memory", "one"]).ok();
    assert_eq!(status(&engine, "one"), "paused");
    engine.berth(&["vm", "resume", "one"]).ok();

    // Back to the snapshot.
    engine.berth(&["vm", "restore", "one", "early"]).fails("stop it first");
    engine.berth(&["vm", "restore", "--force", "one", "early"]).ok();
    let mut port = Port::open(&engine, "one");
    port.ask("echo is-$X$Y", "is-held");
    port.ask("echo 3 > /proc/sys/vm/drop_caches; echo disk-$(dd if=/dev/vda bs=6 count=1 2>/dev/null)", "disk-before");

    change_and_reboot(&engine, port);
    assert!(engine.berth(&["vm", "start", "one"]).code == 0, "it runs already, which is well");
    engine.berth(&["vm", "rm", "one"]).fails("stop it");
    engine.berth(&["vm", "stop", "one"]).ok();
    let exit = inspect(&engine, "one")["LastExit"].clone();
    assert_eq!((status(&engine, "one").as_str(), exit["reason"].as_str()), ("off", Some("guest-shutdown")), "{exit}");
    engine.berth(&["vm", "rm", "one"]).ok();
    engine.http().get("/vm/machines/one").expect(404);
    assert_eq!(listed(engine.place().join("data/machines")), Vec::<String>::new());
    assert_eq!(listed(engine.place().join("run/machines")), Vec::<String>::new());
}

/// Of the machine `one`: what moves at once, and what is there after a reboot.
fn change_and_reboot(engine: &Engine, mut port: Port) {
    // Changed while it runs: the balloon at once, the processors at the next start.
    assert!(engine.berth(&["vm", "set", "--vcpus", "2", "one"]).stderr.contains("next start"));
    port.ask("insmod /more/virtio_balloon.ko; echo balloon-$((4+4))", "balloon-8");
    engine.berth(&["vm", "set", "--balloon", "100m", "one"]).ok();
    let reached = || (inspect(engine, "one")["BalloonBytes"] == 100 << 20).then_some(());
    eventually("the balloon is there", 60, reached);

    // The guest hears the power button, and the machine is started anew, with what was set.
    engine.berth(&["vm", "reboot", "one"]).ok();
    let mut port = Port::open(engine, "one");
    port.expect("SHELL READY", BOOT_S);
    port.ask("echo cpus-$(grep -c ^processor /proc/cpuinfo) is-${X:-new}", "cpus-2 is-new");
    port.ask("echo disk-$(dd if=/dev/vda bs=6 count=1 2>/dev/null)", "disk-before");
}

#[test]
fn a_machine_outlives_the_daemon_and_is_found_again() {
    let (mut engine, kernel, initramfs) = engine!();
    let user_data = engine.place().join("user-data");
    std::fs::write(&user_data, "#cloud-config\n").expect("write");
    let seed = user_data.to_str().expect("text");
    let more = ["--network", "bridge,port=127.0.0.1:18490:80", "--user-data", seed];
    create(&engine, "kept", &kernel, &initramfs, &more);
    engine.berth(&["vm", "start", "kept"]).ok();
    let address = inspect(&engine, "kept")["Addresses"][0]["Ipv4"].as_str().expect("an address").to_owned();
    let mut port = Port::open(&engine, "kept");
    port.expect("SHELL READY", BOOT_S);
    // What cloud-init would do with the seed's network configuration.
    port.ask("insmod /more/cdrom.ko; insmod /more/isofs.ko; mkdir -p /seed; mount -t iso9660 /dev/vda /seed; ls /seed | tr '\\n' ,", "meta-data,network-config,user-data,");
    port.ask("echo seed-$(grep -o '172[0-9.]*/16' /seed/network-config)", &format!("seed-{address}/16"));
    let device = format!(
        "for m in failover net_failover virtio_net; do insmod /more/$m.ko; done; ip addr add {address}/16 dev eth0"
    );
    port.ask(&format!("{device}; ip link set eth0 up; Z=same; echo up-$((1+1))"), "up-2");
    port.ask("mkdir -p /www; echo fou''nd > /www/index.html; httpd -p 80 -h /www; echo served-$((3+3))", "served-6");
    let published = || {
        let got = engine.host(&[env!("CARGO_BIN_EXE_probe"), "http", &format!("{address}:80")]);
        got.text().contains("found").then_some(())
    };
    eventually("the host reaches the guest", 60, published);
    engine.kill_daemon();
    let got = engine.host(&[env!("CARGO_BIN_EXE_probe"), "http", &format!("{address}:80")]);
    assert!(got.text().contains("found"), "it serves without a daemon: {}", got.stderr);
    engine.start_daemon();
    assert_eq!(status(&engine, "kept"), "running");
    assert_eq!(inspect(&engine, "kept")["Addresses"][0]["Ipv4"], address.as_str());
    let mut port = Port::open(&engine, "kept");
    port.ask("echo still-$Z", "still-same");
    // The guest's own end is seen by the daemon that found it.
    port.stream.write_all(b"poweroff -f\n").expect("typing");
    eventually("its end is booked", 60, || (status(&engine, "kept") == "off").then_some(()));
    // A keeper that is killed takes its monitor along, and the next start finds the place clean.
    engine.berth(&["vm", "start", "kept"]).ok();
    let run = engine.place().join("run/machines/kept");
    berth_blackbox::engine::signal(process_with(&run).expect("a keeper"), "KILL");
    eventually("its loss is booked", 60, || (status(&engine, "kept") == "off").then_some(()));
    assert_eq!(inspect(&engine, "kept")["LastExit"]["reason"], "lost");
    engine.berth(&["vm", "start", "kept"]).ok();
    engine.berth(&["vm", "stop", "--force", "kept"]).ok();
    engine.berth(&["vm", "rm", "kept"]).ok();
}

#[test]
fn firmware_boots_a_disk_and_a_machine_travels() {
    let (mut engine, _, _) = engine!();
    // A boot sector that says a word on the serial port, and stops: real mode, no operating system.
    let disk = engine.place().join("boot.img");
    std::fs::write(&disk, machine::boot_sector("SECTOR RUNS")).expect("write");
    let from = format!("from={},name=root", disk.display());
    engine.berth(&["vm", "create", "-m", "32m", "--disk", &from, "--network", "user", "disk"]).ok();
    engine.berth(&["vm", "start", "disk"]).ok();
    Port::open(&engine, "disk").expect("SECTOR RUNS", BOOT_S);
    engine.berth(&["vm", "export", "disk", "-o", "/dev/null"]).fails("stop it first");
    engine.berth(&["vm", "stop", "--force", "disk"]).ok();
    let archive = engine.place().join("disk.tar");
    let archive = archive.to_str().expect("text");
    engine.berth(&["vm", "export", "-o", archive, "disk"]).ok();
    engine.berth(&["vm", "clone", "disk", "twin"]).ok();
    // What is to start with the daemon does, and only that.
    engine.berth(&["vm", "autostart", "twin"]).ok();
    engine.stop_daemon();
    engine.start_daemon();
    eventually("it started with the daemon", 60, || (status(&engine, "twin") == "running").then_some(()));
    assert_eq!(status(&engine, "disk"), "off");
    engine.berth(&["vm", "stop", "--force", "twin"]).ok();
    engine.berth(&["vm", "rm", "disk"]).ok();
    assert_eq!(engine.berth(&["vm", "import", "-i", archive, "--name", "back"]).ok(), "back");
    let cdrom = engine.place().join("boot.iso");
    std::fs::write(&cdrom, machine::boot_cdrom("CDROM RUNS")).expect("write");
    let cdrom = cdrom.to_str().expect("text");
    engine.berth(&["vm", "create", "-m", "32m", "--disk", "size=1m", "--cdrom", cdrom, "--boot", "cdrom", "cd"]).ok();
    for (name, word) in [("back", "SECTOR RUNS"), ("twin", "SECTOR RUNS"), ("cd", "CDROM RUNS")] {
        engine.berth(&["vm", "start", name]).ok();
        Port::open(&engine, name).expect(word, BOOT_S);
        engine.berth(&["vm", "rm", "-f", name]).ok();
    }
}

#[test]
fn definitions_are_files_that_people_edit() {
    let engine = Engine::start_empty(&[]);
    let berth = |line: &[&str]| engine.berth(line);
    berth(&["vm", "create", "--disk", "size=2m", "--network", "bridge", "one"]).ok();
    let path = engine.place().join("data/machines/one/machine.toml");
    let text = std::fs::read_to_string(&path).expect("a definition");
    assert!(text.contains("memory_bytes = 1073741824") && text.contains("vm edit one"), "{text}");
    let edited = engine.place().join("edited.toml");
    let edit = |text: &str| {
        std::fs::write(&edited, text).expect("write");
        engine.berth(&["vm", "edit", "--file", edited.to_str().expect("text"), "one"])
    };
    edit(&text.replace("vcpus = 1", "vcpus = 3")).ok();
    assert_eq!(inspect(&engine, "one")["Definition"]["vcpus"], 3);
    edit(&text.replace("vcpus = 1", "vcpus = 0")).fails("vcpus");
    edit(&text.replace("disk0.raw", "other.raw")).fails("no file other.raw");
    edit(&text.replace("disk0.raw", "../../x")).fails("no name");
    edit(&text.replace("name = \"one\"", "name = \"two\"")).fails("keeps its name");
    edit("nonsense").fails("not understood");
    let mut visual = engine.client(&berth_blackbox::engine::binary(), &["vm", "edit", "one"]);
    visual.env("VISUAL", "sed -i 's/vcpus = 3/vcpus = 4/'");
    berth_blackbox::command::run(visual, b"").ok();
    assert_eq!(inspect(&engine, "one")["Definition"]["vcpus"], 4);
    berth(&["vm", "autostart", "one"]).ok();
    assert!(berth(&["vm", "ls"]).ok().contains("off") && berth(&["vm", "ls", "-q"]).ok() == "one");
    let xml = berth(&["vm", "export-xml", "one"]).ok();
    let domain = xml.replace("<devices>", "<devices><graphics type='vnc'/>").replace("<name>one", "<name>two");
    let uuid = inspect(&engine, "one")["Definition"]["uuid"].as_str().expect("text").to_owned();
    std::fs::write(&edited, domain.replace(&uuid, "11111111-2222-4333-8444-555555555555")).expect("write");
    let imported = berth(&["vm", "import-xml", edited.to_str().expect("text")]);
    assert!(imported.stderr.contains("not taken over: devices/graphics[type=vnc]"), "{}", imported.stderr);
    assert_eq!(imported.ok(), "two");
    berth(&["vm", "import-xml", "--strict", "--name", "three", edited.to_str().expect("text")]).fails("graphics");
    // A snapshot of one that is off, and back.
    let disk = engine.place().join("data/machines/one/files/disk0.raw");
    std::fs::write(&disk, "first").expect("write");
    berth(&["vm", "snapshot", "one", "then"]).ok();
    berth(&["vm", "snapshot", "one", "then"]).fails("exists already");
    std::fs::write(&disk, "second").expect("write");
    berth(&["vm", "restore", "one", "then"]).ok();
    assert_eq!(std::fs::read_to_string(&disk).expect("read"), "first");
    berth(&["vm", "snapshot", "--remove", "one", "then"]).ok();
    berth(&["vm", "rm", "one", "two"]).ok();
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let engine = Engine::start_empty(&[]);
    let place = engine.place().display().to_string();
    std::fs::write(engine.place().join("bad.qcow2"), b"QFI\xfb but no more").expect("write");
    for (line, word) in [
        (vec!["vm", "create", "../x"], "no name"),
        (vec!["vm", "create", "--vcpus", "0", "x"], "vcpus"),
        (vec!["vm", "create", "-m", "1", "x"], "memory"),
        (vec!["vm", "create", "--disk", "size=1g,name=../a", "x"], "no name"),
        (vec!["vm", "create", "--disk", "size=10", "x"], "1 MiB"),
        (vec!["vm", "create", "--disk", "path=/nosuch/disk", "x"], "/nosuch/disk"),
        (vec!["vm", "create", "--disk", &format!("from={place}/bad.qcow2"), "x"], "qcow2"),
        (vec!["vm", "create", "--disk", &format!("path={place}/bad.qcow2,format=qcow2"), "x"], "qcow2"),
        (vec!["vm", "create", "--disk", "from=/dev/zero", "x"], "neither a file"),
        (vec!["vm", "create", "--network", "host", "x"], "host"),
        (vec!["vm", "create", "--pci", "1:2", "x"], "PCI"),
        (vec!["vm", "create", "--boot", "disk", "x"], "order"),
        (vec!["vm", "start", "nosuch"], "no such machine: nosuch"),
        (vec!["vm", "console", "nosuch"], "no such machine"),
    ] {
        let words: Vec<&str> = line.iter().map(|word| &**word).collect();
        engine.berth(&words).fails(word);
    }
    assert_eq!(listed(engine.place().join("data/machines")), Vec::<String>::new());
    engine.berth(&["vm", "create", "--pci", "ffff:ff:1f.7", "--network", "nosuch", "x"]).ok();
    engine.berth(&["vm", "create", "x"]).fails("exists already");
    // There is no such device, on a host with an IOMMU or without.
    engine.berth(&["vm", "start", "x"]).fails("no PCI device ffff:ff:1f.7");
    engine.berth(&["vm", "stop", "x"]).ok();
    engine.berth(&["vm", "suspend", "x"]).fails("x is off");
    engine.berth(&["vm", "console", "x"]).fails("x is off");
    let answer = engine.http().post_json("/vm/machines", &json!({"definition": {"name": "y"}, "more": 1})).expect(400);
    assert!(answer.text().contains("more"), "{}", answer.text());
    engine.berth(&["vm", "rm", "x"]).ok();
    assert_eq!(listed(engine.place().join("run/machines")), Vec::<String>::new());
}
