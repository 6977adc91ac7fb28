//! `checkpoint` and `restore`: a container's processes put on disk and brought back, by CRIU where it is installed.

use std::path::{Path, PathBuf};
use std::process::Command as Program;

use berth_sys::process::birth;

use crate::error::{Error, Result};
use crate::grammar::{Call, Command, Flag, switch, value};
use crate::record::{Record, Status};
use crate::store::{Place, Store};
use crate::{bundle, create, delete};

/// Flags of both.
const FLAGS: &[Flag] = &[
    value("image-path", "", "directory of the images (default: checkpoint)"),
    value("work-path", "", "directory of CRIU's logs"),
    switch("leave-running", "", "let the container run on"),
    switch("tcp-established", "", "allow open connections"),
    switch("ext-unix-sk", "", "allow sockets from outside"),
    switch("shell-job", "", "allow a terminal"),
    switch("file-locks", "", "handle file locks"),
    value("bundle", "b", "directory of the bundle"),
    value("pid-file", "", "write the process id of the container's init to this file"),
    value("console-socket", "", "socket that takes the master of the terminal"),
    switch("detach", "d", "do not wait for the container's end"),
    switch("no-pivot", "", "accepted"),
    switch("no-subreaper", "", "accepted"),
];

/// `checkpoint`.
pub static CHECKPOINT: Command = Command {
    name: "checkpoint",
    arguments: "ID",
    about: "put the processes of a container on disk",
    flags: FLAGS,
    arity: (1, 1),
    run: checkpoint,
};

/// `restore`.
pub static RESTORE: Command = Command {
    name: "restore",
    arguments: "ID",
    about: "bring a container back from disk",
    flags: FLAGS,
    arity: (1, 1),
    run: restore,
};

/// Flags that CRIU knows by the same name.
const HANDED_ON: &[&str] = &["tcp-established", "ext-unix-sk", "shell-job", "file-locks"];

fn checkpoint(call: &Call) -> Result<u8> {
    let (place, record) = Store::new(&call.global.root).find(call.id())?;
    if record.status(&place) != Status::Running {
        let status = record.status(&place).word();
        return Err(Error::State(format!("cannot checkpoint container {}: it is {status}", record.id)));
    }
    let mut criu = criu(call, "dump")?;
    criu.arg("--tree").arg(record.pid.to_string());
    if call.has("leave-running") {
        criu.arg("--leave-running");
    }
    for mount in place.spec()?.mounts().iter().flatten() {
        let bound = mount.options().iter().flatten().any(|option| option == "bind" || option == "rbind");
        if bound || mount.typ().as_deref() == Some("bind") {
            let path = mount.destination().display().to_string();
            criu.arg("--external").arg(format!("mnt[{path}]:{path}"));
        }
    }
    finish(criu, call)?;
    if !call.has("leave-running") {
        delete::delete(call, &place, &record, true)?;
    }
    Ok(0)
}

fn restore(call: &Call) -> Result<u8> {
    let bundle = bundle::load(call)?;
    let place = Store::new(&call.global.root).reserve(call.id())?;
    let outcome = bring_back(call, &bundle, &place);
    if outcome.is_err() {
        // The failure that led here is the one to tell.
        let _ = place.remove();
    }
    outcome
}

fn bring_back(call: &Call, bundle: &berth_runtime::Bundle, place: &Place) -> Result<u8> {
    let mut record: Record = create::draft(call, bundle);
    place.keep(&bundle.spec)?;
    let pid_file = images(call).join("restored.pid");
    let mut criu = criu(call, "restore")?;
    criu.arg("--restore-detached").arg("--root").arg(&record.rootfs).arg("--pidfile").arg(&pid_file);
    for mount in bundle.spec.mounts().iter().flatten() {
        let bound = mount.options().iter().flatten().any(|option| option == "bind" || option == "rbind");
        if let Some(source) = mount.source().as_ref().filter(|_| bound) {
            criu.arg("--external").arg(format!("mnt[{}]:{}", mount.destination().display(), source.display()));
        }
    }
    finish(criu, call)?;
    let text = std::fs::read_to_string(&pid_file).map_err(Error::file("read", &pid_file))?;
    record.pid = text.trim().parse().map_err(|_| Error::Missing(format!("criu wrote no process id: {text:?}")))?;
    let ended = || Error::State(format!("container {} ended while it was restored", record.id));
    record.born = birth(record.pid).ok_or_else(ended)?;
    place.save(&record)?;
    create::write_pid(call, record.pid)?;
    Ok(0)
}

fn images(call: &Call) -> PathBuf {
    PathBuf::from(call.text("image-path").unwrap_or("checkpoint"))
}

/// The program with what both ways need.
fn criu(call: &Call, verb: &str) -> Result<Program> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("criu")).find(|file| file.is_file());
    let missing = || {
        let text = "checkpoint and restore are done by CRIU, which is not installed here (the package is called criu)";
        Error::Missing(text.to_owned())
    };
    let mut criu = Program::new(found.ok_or_else(missing)?);
    let images = images(call);
    std::fs::create_dir_all(&images).map_err(Error::file("make", &images))?;
    criu.arg(verb)
        .arg("--images-dir")
        .arg(&images)
        .arg("--manage-cgroups")
        .arg("--log-file")
        .arg(format!("{verb}.log"));
    if let Some(work) = call.text("work-path").map(Path::new) {
        std::fs::create_dir_all(work).map_err(Error::file("make", work))?;
        criu.arg("--work-dir").arg(work);
    }
    criu.args(HANDED_ON.iter().filter(|flag| call.has(flag)).map(|flag| format!("--{flag}")));
    Ok(criu)
}

fn finish(mut criu: Program, call: &Call) -> Result<()> {
    let output = criu.output().map_err(Error::process("run criu"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let place = call.text("work-path").map_or_else(|| images(call), PathBuf::from);
    Err(Error::Missing(format!("criu failed ({}); its log is in {}: {}", output.status, place.display(), said.trim())))
}
