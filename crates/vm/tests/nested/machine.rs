//! A machine of the monitor's, as the engine would have one: started, spoken with, measured.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use berth_vm::{
    link::Link,
    message::{Answer, Report, Request},
};
use serde_json::{Value, json};

/// An answer comes within this time.
const LIMIT: Duration = Duration::from_secs(120);
/// Guests' memory.
pub const MEMORY_BYTES: u64 = 384 << 20;
const COMMAND_LINE: &str = "console=ttyS0 quiet loglevel=4 panic=-1 reboot=t pci=off rdinit=/init random.trust_cpu=on audit=0 \
                            mitigations=off cryptomgr.notests -- guest";

/// What a machine is to be like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape<'a> {
    pub vcpus: u32,
    pub entry: &'a str,
    /// A disk for changes.
    pub disk: Option<&'a Path>,
    /// A tap, which is there.
    pub tap: Option<&'a str>,
    /// A snapshot to go on from.
    pub restore: Option<&'a Path>,
}

/// The hardware address of a machine's network device.
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

/// See the module.
pub struct Machine {
    monitor: Child,
    pub link: Link,
    control: PathBuf,
    serial: PathBuf,
}

impl Machine {
    /// Starts a machine whose files are in `home`.
    pub fn start(home: &Path, shape: Shape<'_>) -> Self {
        fs::create_dir_all(home).expect("home");
        let (agent, control, serial) = (home.join("agent"), home.join("control"), home.join("serial"));
        let _ = fs::remove_file(&agent);
        let listener = UnixListener::bind(&agent).expect("listen");
        let root = json!({"path": "/run/root.img", "read_only": true, "serial": berth_vm::guest::ROOT_SERIAL});
        let upper = shape.disk.map(|path| json!({"path": path, "serial": berth_vm::guest::UPPER_SERIAL}));
        let disks: Vec<Value> = std::iter::once(root).chain(upper).collect();
        let nics: Vec<Value> = shape.tap.iter().map(|tap| json!({"tap": tap, "mac": MAC})).collect();
        let config = json!({
            "kernel": "/vm/kernel",
            "initramfs": "/vm/initramfs",
            "command_line": COMMAND_LINE,
            "entry": shape.entry,
            "memory_bytes": MEMORY_BYTES,
            "vcpus": shape.vcpus,
            "disks": disks,
            "nics": nics,
            "ports": [{"name": berth_vm::guest::PORT, "socket": agent}],
            "control": control,
            "snapshots": "/run/snapshots",
            "restore": shape.restore,
        });
        let path = home.join("config");
        fs::write(&path, config.to_string()).expect("config");
        let output = fs::File::create(&serial).expect("serial");
        let errors = output.try_clone().expect("clone");
        let monitor = Command::new("/berth")
            .args(["vmm", "--config"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .expect("monitor");
        Self::heard(monitor, &listener, control, serial)
    }

    /// As [`Machine::start`], on QEMU's `microvm`, with the same kernel, accelerator and devices.
    pub fn start_on_qemu(home: &Path, shape: Shape<'_>) -> Self {
        fs::create_dir_all(home).expect("home");
        let (agent, serial) = (home.join("agent"), home.join("serial"));
        let listener = UnixListener::bind(&agent).expect("listen");
        let mut command = Command::new("/usr/bin/qemu-system-x86_64");
        command.args(["-L", "/usr/share/qemu", "-nodefaults", "-no-user-config", "-nographic", "-no-reboot"]);
        command.args(["-M", "microvm,acpi=on,pit=off,pic=off,rtc=off,isa-serial=on,x-option-roms=off"]);
        command.args(["-accel", "kvm", "-cpu", "host", "-global", "virtio-mmio.force-legacy=false"]);
        command.args(["-m", &format!("{}M", MEMORY_BYTES >> 20), "-smp", &shape.vcpus.to_string()]);
        command.args([
            "-kernel",
            "/vm/kernel",
            "-initrd",
            "/vm/initramfs",
            "-append",
            COMMAND_LINE,
            "-serial",
            "stdio",
        ]);
        command.arg("-chardev").arg(format!("socket,id=agent,path={}", agent.display()));
        command.args(["-device", "virtio-serial-device", "-device"]);
        command.arg(format!("virtserialport,chardev=agent,name={}", berth_vm::guest::PORT));
        command.args(["-device", "virtio-rng-device", "-device", "virtio-balloon-device,free-page-reporting=on"]);
        let root = (Path::new("/run/root.img"), "on", berth_vm::guest::ROOT_SERIAL);
        let upper = shape.disk.map(|path| (path, "off", berth_vm::guest::UPPER_SERIAL));
        for (path, read_only, serial) in std::iter::once(root).chain(upper) {
            let file = format!("if=none,id={serial},format=raw,readonly={read_only},file={}", path.display());
            command.args(["-drive", &file, "-device", &format!("virtio-blk-device,drive={serial},serial={serial}")]);
        }
        if let Some(tap) = shape.tap {
            let mac = MAC.map(|byte| format!("{byte:02x}")).join(":");
            command.args(["-netdev", &format!("tap,id=net,ifname={tap},script=no,downscript=no")]);
            command.args(["-device", &format!("virtio-net-device,netdev=net,mac={mac}")]);
        }
        let output = fs::File::create(&serial).expect("serial");
        let errors = output.try_clone().expect("clone");
        let monitor = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().expect("QEMU");
        Self::heard(monitor, &listener, PathBuf::new(), serial)
    }

    /// A machine whose monitor has called.
    fn heard(monitor: Child, listener: &UnixListener, control: PathBuf, serial: PathBuf) -> Self {
        listener.set_nonblocking(true).expect("nonblocking");
        let started = Instant::now();
        let channel = loop {
            match listener.accept() {
                Ok((channel, _)) => break channel,
                Err(_) if started.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(1)),
                Err(error) => panic!("{error}: {}", fs::read_to_string(&serial).unwrap_or_default()),
            }
        };
        let link = Link::new(OwnedFd::from(channel)).expect("link");
        Self { monitor, link, control, serial }
    }

    /// Asks the agent.
    pub fn ask(&mut self, request: Request) -> Answer {
        let ticket = self.link.send(request);
        let started = Instant::now();
        loop {
            match self.link.answer(ticket) {
                Ok(Some(answer)) => return answer,
                Ok(None) => {}
                Err(failure) => panic!("{failure:?}: {}", self.last_words()),
            }
            assert!(started.elapsed() < LIMIT, "no answer: {}", self.last_words());
            if let Err(failure) = self.link.turn(Some(Duration::from_millis(100))) {
                panic!("{failure:?}: {}", self.last_words());
            }
        }
    }

    /// Waits for the end of the container's main process; its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            while let Some(report) = self.link.report() {
                if let Report::Exited { key: 0, code, .. } = report {
                    return code;
                }
            }
            assert!(started.elapsed() < LIMIT, "no end: {}", self.last_words());
            self.link.turn(Some(Duration::from_millis(100))).expect("turn");
        }
    }

    /// Asks the monitor.
    pub fn control(&self, request: &Value) -> Value {
        let mut stream = BufReader::new(UnixStream::connect(&self.control).expect("control"));
        stream.get_mut().write_all(format!("{request}\n").as_bytes()).expect("ask");
        let mut line = String::new();
        stream.read_line(&mut line).expect("answer");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        assert!(answer["error"].is_null(), "{answer}");
        answer["return"].clone()
    }

    /// The monitor's own memory in KiB, the guest's left out: its share of all, and what of it no file stands behind.
    pub fn own_memory_kib(&self) -> (u64, u64) {
        let maps = fs::read_to_string(format!("/proc/{}/smaps", self.monitor.id())).expect("smaps");
        let (mut pss, mut anonymous, mut of_guest) = (0, 0, false);
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            if let Some((from, to)) = first.split_once('-') {
                let number = |text| u64::from_str_radix(text, 16).unwrap_or(0);
                of_guest = number(to) - number(from) >= MEMORY_BYTES;
            }
            let kib = words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
            match first {
                _ if of_guest => {}
                "Pss:" => pss += kib,
                "Anonymous:" => anonymous += kib,
                _ => {}
            }
        }
        (pss, anonymous)
    }

    /// Stops it; the monitor's exit code.
    pub fn end(self) -> i32 {
        self.control(&json!({"do": "stop"}));
        let Self { mut monitor, serial, .. } = self;
        let started = Instant::now();
        loop {
            if let Some(status) = monitor.try_wait().expect("wait") {
                return status.code().unwrap_or(-1);
            }
            if started.elapsed() > LIMIT {
                let _ = monitor.kill();
                panic!("the machine does not end: {}", fs::read_to_string(&serial).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills the monitor.
    pub fn kill(mut self) {
        self.monitor.kill().expect("kill");
        self.monitor.wait().expect("wait");
    }

    /// Joins the container's output; what it will be read from.
    pub fn output(&mut self) -> OwnedFd {
        let (near, far) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
        let [_, stdout, _] = berth_vm::message::streams(berth_vm::message::MAIN);
        self.link.mux.add_sink(stdout, far.as_fd().try_clone_to_owned().expect("clone")).expect("sink");
        near
    }

    fn last_words(&self) -> String {
        fs::read_to_string(&self.serial).unwrap_or_default()
    }
}
