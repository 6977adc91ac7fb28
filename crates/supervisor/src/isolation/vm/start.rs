//! From a bundle to a running machine.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use berth_kit::time::Timestamp;
use berth_runtime::Stdio as Streams;
use berth_vm::{
    jail::{self, Share},
    link::Link,
    message::{Answer, Create, FILE_PREFIX, Interface, Request, SHARE_PREFIX, Setup},
    plan::Backend,
    qemu,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
    pipe::PipeFlags,
};

use super::{ANSWER_LIMIT, CONSOLE, Failure, Machine, PIDFD, failed, network};
use crate::isolation::Isolation as _;
use crate::isolation::process::failure;

/// A guest boots within this time even where it is interpreted in a machine that is interpreted, on a busy host. One
/// that ends instead is noticed at once.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// A guest that is restored answers within this time.
const RESTORE_LIMIT: Duration = BOOT_LIMIT;
/// The program that serves directories is ready within this time.
const SHARE_LIMIT: Duration = Duration::from_secs(30);
/// A monitor calls within this time.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Files given by contents are small.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The time stamp counter is measured for so long.
const TSC_SPAN: Duration = Duration::from_millis(10);

/// What the guest is told of the host's files.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    files: Vec<PathBuf>,
    shares: Vec<Share>,
}

impl Machine {
    /// Makes the jail with the monitor at its gate, and starts who serves directories.
    pub(super) fn make_jail(&mut self) -> Result<i32, Failure> {
        self.setup = self.gather();
        // What an earlier run left is nobody's.
        for name in ["share.sock", "qmp.sock"] {
            let _ = std::fs::remove_file(jail::run_dir(&self.bundle).join(name));
        }
        let machine = match (self.becomes_template, &self.plan.template) {
            (true, _) => qemu::Machine::Template,
            (false, Some(_)) => qemu::Machine::Restored,
            (false, None) => qemu::Machine::Cold,
        };
        let tsc_khz = if self.plan.backend == Backend::QemuTcg { berth_sys::tsc::frequency_khz(TSC_SPAN) } else { 0 };
        let bundle = jail::bundle(&self.bundle, &self.plan, machine, &self.setup.shares, tsc_khz)
            .map_err(|error| failed("jail", &error))?;
        self.listener = Some(listen(&jail::run_dir(&self.bundle), "agent.sock")?);
        let system = |errno| Failure::errno("make the machine's console", errno);
        let (console, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(system)?;
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
        let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty()).map_err(system)?;
        let input = match (&self.plan.template, machine) {
            (Some(state), qemu::Machine::Restored) => {
                let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
                rustix::fs::open(state, flags, rustix::fs::Mode::empty())
                    .map_err(|errno| Failure::errno("open the template", errno))?
            }
            _ => null,
        };
        let streams = || Streams::Streams { stdin: input.as_fd(), stdout: theirs.as_fd(), stderr: theirs.as_fd() };
        let created = berth_runtime::create(&bundle, streams()).map_err(|error| failure("create", &error))?;
        self.console.pipe = Some(console);
        let pid = created.container.pid;
        self.gate = Some(Box::new(created));
        if !self.setup.shares.is_empty() {
            self.share(streams()).inspect_err(|_| self.abandon())?;
        }
        Ok(pid)
    }

    /// Starts who serves the machine's directories, in its jail.
    fn share(&mut self, streams: Streams<'_>) -> Result<(), Failure> {
        let Some(created) = &self.gate else { return Ok(()) };
        let process = jail::share_process().map_err(|error| failed("share", &error))?;
        let served = berth_runtime::exec(&created.container, &process, streams);
        self.helpers.push(served.map_err(|error| failure("share", &error))?.pidfd);
        self.wait_for_share()
    }

    /// A machine that could not be made leaves no process and no control group.
    fn abandon(&mut self) {
        self.kill_monitor();
        self.jail = self.gate.take().map(|created| created.container);
        self.clear();
        self.remove();
    }

    fn wait_for_share(&mut self) -> Result<(), Failure> {
        let socket = jail::run_dir(&self.bundle).join("share.sock");
        let started = Instant::now();
        while !socket.exists() {
            if started.elapsed() > SHARE_LIMIT {
                let text = format!("nobody serves the machine's directories{}", self.console.tail());
                return Err(Failure::new("share", text));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Sorts the specification's bind mounts: the container's own files are given by contents, everything else is
    /// shared. Both then have a name that the guest understands.
    fn gather(&mut self) -> Gathered {
        let mut found = Gathered::default();
        for mount in self.spec.mounts_mut().iter_mut().flatten() {
            let options = mount.options().clone().unwrap_or_default();
            let binds = options.iter().any(|option| option == "bind" || option == "rbind");
            let Some(source) = mount.source().clone().filter(|_| binds) else { continue };
            // The guest's own kernel file systems.
            if ["/proc", "/sys", "/dev/mqueue", "/dev/shm"].iter().any(|own| Path::new(own) == source) {
                continue;
            }
            let name = if source.starts_with(&self.plan.files) {
                found.files.push(source);
                format!("{FILE_PREFIX}{}", found.files.len() - 1)
            } else {
                found.shares.push(Share { source, options });
                format!("{SHARE_PREFIX}{}", found.shares.len() - 1)
            };
            mount.set_source(Some(PathBuf::from(name)));
        }
        found
    }

    /// Lets the monitor run, and has the guest run the container.
    pub(super) fn start(&mut self) -> Result<(), Failure> {
        let created = self.gate.take().ok_or_else(|| Failure::new("state", "container is already started"))?;
        let interfaces = network::pass_on(created.container.pid, self.plan.ids.0, self.plan.nics);
        let outcome = interfaces.and_then(|interfaces| {
            let released = created.release().map_err(|error| failure("start the monitor", &error));
            released.map(|()| interfaces)
        });
        self.jail = Some(created.container);
        let interfaces = outcome?;
        let listener = self.listener.take().ok_or_else(|| Failure::new("state", "container is not created"))?;
        let channel = self.accept(&listener)?;
        self.connect(channel)?;
        let setup = self.setup(interfaces)?;
        let warm = self.plan.template.clone();
        let limit = if warm.is_some() { RESTORE_LIMIT } else { BOOT_LIMIT };
        let answer = self.request(Request::Setup(Box::new(setup)), limit);
        if let (Err(_), Some(template)) = (&answer, warm) {
            // The next machine boots, and another template is made.
            let _ = std::fs::remove_file(template);
        }
        answer?;
        let (streams, terminal) =
            self.stdio.take().ok_or_else(|| Failure::new("state", "container is already started"))?;
        let input = self.connect_outputs(Self::main_key(), streams)?;
        let (init, groups) = (self.plan.init, self.plan.groups.clone());
        let create = Create { spec: self.spec.clone(), init, groups, terminal };
        match self.request(Request::Create(Box::new(create)), ANSWER_LIMIT)? {
            Answer::Started { .. } => {}
            _ => return Err(Failure::new("guest", "the guest gave another answer than was asked for")),
        }
        self.connect_input(Self::main_key(), input, terminal.is_some())?;
        self.request(Request::Release, ANSWER_LIMIT).map(drop)
    }

    /// The monitor's call. It comes as soon as the monitor runs; the guest behind it may still boot.
    pub(super) fn accept(&self, listener: &OwnedFd) -> Result<OwnedFd, Failure> {
        let system = |errno| Failure::errno("wait for the monitor", errno);
        let Some(jail) = &self.jail else {
            return Err(Failure::new("state", "container is not created"));
        };
        let mut sets = [PollFd::new(listener, PollFlags::IN), PollFd::new(&jail.pidfd, PollFlags::IN)];
        let limit = Timespec { tv_sec: CALL_LIMIT.as_secs() as i64, tv_nsec: 0 };
        poll(&mut sets, Some(&limit)).map_err(system)?;
        if sets[0].revents().contains(PollFlags::IN) {
            return rustix::net::accept_with(listener, SocketFlags::CLOEXEC).map_err(system);
        }
        let what = if sets[1].revents().is_empty() { "does not run" } else { "has ended at once" };
        Err(Failure::new("guest", format!("the virtual machine's monitor {what}")))
    }

    pub(super) fn connect(&mut self, channel: OwnedFd) -> Result<(), Failure> {
        let system = |errno| Failure::errno("connect to the guest", errno);
        let mut link = Link::new(channel).map_err(system)?;
        if let Some(jail) = &self.jail {
            link.mux.watch(jail.pidfd.as_fd(), PIDFD).map_err(system)?;
        }
        if let Some(pipe) = &self.console.pipe {
            link.mux.watch(pipe.as_fd(), CONSOLE).map_err(system)?;
        }
        self.link = Some(link);
        Ok(())
    }

    pub(super) fn setup(&self, interfaces: Vec<Interface>) -> Result<Setup, Failure> {
        let mut files = Vec::with_capacity(self.setup.files.len());
        for path in &self.setup.files {
            files.push(read_small(path)?);
        }
        let mut entropy = [0; 32];
        rustix::rand::getrandom(&mut entropy, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| Failure::errno("get random bytes", errno))?;
        Ok(Setup {
            now_ns: i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0),
            entropy: berth_kit::id::hex(&entropy),
            upper: self.plan.upper.clone(),
            share: (!self.setup.shares.is_empty()).then(|| "berth".to_owned()),
            interfaces,
            sysctls: self.plan.sysctls.clone(),
            files,
            host_name: self.plan.host_name.clone(),
        })
    }
}

fn read_small(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| Failure::new("files", format!("cannot read {}: {error}", path.display())))?;
    Ok(bytes)
}

/// The socket that the monitor calls; it is another user, and its directory is nobody else's.
pub(super) fn listen(directory: &Path, name: &str) -> Result<OwnedFd, Failure> {
    let make = || {
        // A path as long as may be does not fit into an address.
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let home = rustix::fs::open(directory, flags, rustix::fs::Mode::empty())?;
        let path = format!("/proc/self/fd/{}/{name}", std::os::fd::AsRawFd::as_raw_fd(&home));
        match rustix::fs::unlinkat(&home, name, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&listener, &SocketAddrUnix::new(path.as_str())?)?;
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        rustix::fs::chmodat(&home, name, mode, rustix::fs::AtFlags::empty())?;
        rustix::net::listen(&listener, 1)?;
        Ok(listener)
    };
    make().map_err(|errno| Failure::errno("listen for the monitor", errno))
}
