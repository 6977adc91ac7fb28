//! `create`: makes a container, up to its latch.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use berth_runtime::{Bundle, Created, Deferred, Latch, Stdio, create_latched};
use berth_sys::{pidfd, process::birth};

use crate::console;
use crate::error::{Error, Result};
use crate::grammar::{Call, Command, Flag, switch, value};
use crate::record::{Record, Status};
use crate::store::{Place, Store};
use crate::{bundle, log, rootless};

/// Flags that `create` and `run` share.
pub const FLAGS: &[Flag] = &[
    value("bundle", "b", "directory of the bundle (default: the working directory)"),
    value("console-socket", "", "socket that takes the master of the terminal"),
    value("pid-file", "", "write the process id of the container's init to this file"),
    switch("no-pivot", "", "accepted; the root is always left by pivot_root"),
    switch("no-new-keyring", "", "accepted; the container gets a keyring of its own"),
    value("preserve-fds", "", "descriptors from 3 on that the program keeps"),
    switch("detach", "d", "do not wait for the container's end (run)"),
    switch("keep", "", "do not delete the container at its end (run)"),
    switch("no-subreaper", "", "accepted"),
];

/// See the module.
pub static COMMAND: Command = Command {
    name: "create",
    arguments: "ID",
    about: "create a container",
    flags: FLAGS,
    arity: (1, 1),
    run: |call| {
        let made = make(call, false)?;
        if let Some(terminal) = &made.terminal {
            console::send(call, terminal)?;
        }
        Ok(0)
    },
};

/// A container that was just made.
pub struct Made {
    pub place: Place,
    pub record: Record,
    pub created: Created,
    /// The master of its terminal.
    pub terminal: Option<OwnedFd>,
}

/// Makes a container. `attached`: its terminal may be the caller's own.
pub fn make(call: &Call, attached: bool) -> Result<Made> {
    rootless::enter()?;
    let bundle = bundle::load(call)?;
    console::check(call, bundle.spec.process().as_ref(), attached)?;
    let place = Store::new(&call.global.root).reserve(call.id())?;
    build(call, &bundle, &place).inspect_err(|_| {
        // The failure that led here is the one to tell.
        let _ = place.remove();
    })
}

fn build(call: &Call, bundle: &Bundle, place: &Place) -> Result<Made> {
    place.keep(&bundle.spec)?;
    let latch = Latch::make(&place.latch())?;
    let mut record = draft(call, bundle);
    let deferred = Deferred {
        latch: &latch,
        state: record.state(Status::Created),
        kept: call.number("preserve-fds")?.unwrap_or(0),
    };
    let process = bundle.spec.process().as_ref();
    let size = process.and_then(|process| process.console_size());
    let stdio = if process.and_then(|process| process.terminal()).unwrap_or(false) {
        Stdio::Terminal { size: size.map(|size| (size.height() as u16, size.width() as u16)) }
    } else {
        Stdio::Streams {
            stdin: rustix::stdio::stdin(),
            stdout: rustix::stdio::stdout(),
            stderr: rustix::stdio::stderr(),
        }
    };
    let mut created = create_latched(bundle, stdio, &deferred)?;
    for warning in &created.warnings {
        log::warning(&call.global, warning);
    }
    record.pid = created.container.pid;
    let finished = finish(call, bundle, place, &mut record);
    if let Err(error) = finished {
        undo(&created);
        return Err(error);
    }
    let terminal = created.terminal.take();
    Ok(Made { place: place.clone(), record, created, terminal })
}

/// What is known of a container before it exists.
pub fn draft(call: &Call, bundle: &Bundle) -> Record {
    let root = bundle.spec.root().as_ref().map(|root| bundle.dir.join(root.path())).unwrap_or_default();
    let cgroup = bundle.spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
    Record {
        version: 1,
        id: call.id().to_owned(),
        pid: 0,
        born: 0,
        bundle: bundle.dir.clone(),
        // PATH: named by the caller of the runtime, and only shown.
        rootfs: root.canonicalize().unwrap_or(root),
        created: jiff::Timestamp::now(),
        cgroup: cgroup.map(|path| path.to_string_lossy().into_owned()),
        annotations: bundle.spec.annotations().clone(),
        owner: owner(),
    }
}

/// What is left to do when init stands behind its latch.
fn finish(call: &Call, bundle: &Bundle, place: &Place, record: &mut Record) -> Result<()> {
    if let Some(devices) = bundle.spec.linux().as_ref().and_then(|linux| linux.net_devices().as_ref()) {
        let names = devices.iter().map(|(name, device)| {
            (name.as_str(), device.name().as_deref().filter(|inside| !inside.is_empty()).unwrap_or(name))
        });
        berth_network::net_device::move_all(names, record.pid).map_err(|error| Error::Usage(error.to_string()))?;
    }
    let ended = || Error::State(format!("the init of container {} ended before it was started", record.id));
    record.born = birth(record.pid).ok_or_else(ended)?;
    place.save(record)?;
    write_pid(call, record.pid)
}

/// Writes the file of `--pid-file`, whole or not at all.
pub fn write_pid(call: &Call, pid: i32) -> Result<()> {
    let Some(path) = call.text("pid-file").filter(|path| !path.is_empty()).map(Path::new) else { return Ok(()) };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let draft = path.with_file_name(format!(".{name}"));
    std::fs::write(&draft, pid.to_string()).map_err(Error::file("write", &draft))?;
    std::fs::rename(&draft, path).map_err(Error::file("write", path))
}

fn undo(created: &Created) {
    let _ = pidfd::send_signal(created.container.pidfd.as_fd(), libc::SIGKILL);
    let _ = pidfd::wait(created.container.pidfd.as_fd());
    if let Some(cgroup) = &created.container.cgroup {
        let _ = cgroup.remove();
    }
}

/// The caller's name by `/etc/passwd`, or else the number.
fn owner() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mine = found.into_iter().find(|fields| fields.get(2) == Some(&uid.as_str()));
    mine.map_or(uid.clone(), |fields| fields[0].to_owned())
}
