//! `exec`: another program in a running container.

use std::path::{Path, PathBuf};

use berth_runtime::{Container, Stdio, exec_keeping};
use oci_spec::runtime::{Capabilities, Capability, Process, Spec, User};

use crate::error::{Error, Result};
use crate::grammar::{Call, Command, switch, value};
use crate::record::Status;
use crate::store::Store;
use crate::{bundle, console, create, log};

/// See the module.
pub static COMMAND: Command = Command {
    name: "exec",
    arguments: "ID COMMAND [ARGUMENT...] | --process FILE ID",
    about: "run another program in a container",
    flags: &[
        value("console-socket", "", "socket that takes the master of the terminal"),
        value("cwd", "", "working directory in the container"),
        value("env", "e", "set a variable (NAME=VALUE)"),
        switch("tty", "t", "allocate a terminal"),
        value("user", "u", "UID[:GID]"),
        value("additional-gids", "g", "another group of the process"),
        value("process", "p", "file with the process as JSON"),
        switch("detach", "d", "do not wait for its end"),
        value("pid-file", "", "write the process id to this file"),
        value("process-label", "", "SELinux label"),
        value("apparmor", "", "AppArmor profile"),
        switch("no-new-privs", "", "no execve may gain rights"),
        value("cap", "c", "another capability of the process"),
        value("preserve-fds", "", "descriptors from 3 on that the program keeps"),
        value("cgroup", "", "accepted when it names the container's own group"),
        switch("ignore-paused", "", "start it even though the container is paused"),
    ],
    arity: (1, usize::MAX),
    run,
};

fn run(call: &Call) -> Result<u8> {
    let (place, record) = Store::new(&call.global.root).find(call.id())?;
    match record.status(&place) {
        Status::Stopped => return Err(Error::State(String::from("cannot exec in a stopped container"))),
        Status::Paused if !call.has("ignore-paused") => {
            return Err(Error::State(String::from(
                "cannot exec in a paused container (use --ignore-paused to override)",
            )));
        }
        _ => {}
    }
    let spec = place.spec()?;
    let process = process(call, &spec)?;
    console::check(call, Some(&process), !call.has("detach"))?;
    let state = record.state(Status::Running);
    let container = Container::reopen(&bundle::known(&record.bundle, spec), record.pid, state)?;
    let size = process.console_size().map(|size| (size.height() as u16, size.width() as u16));
    let stdio = if process.terminal().unwrap_or(false) {
        Stdio::Terminal { size }
    } else {
        Stdio::Streams {
            stdin: rustix::stdio::stdin(),
            stdout: rustix::stdio::stdout(),
            stderr: rustix::stdio::stderr(),
        }
    };
    let kept = call.number("preserve-fds")?.unwrap_or(0);
    let executed = exec_keeping(&container, &process, stdio, kept)?;
    executed.warnings.iter().for_each(|warning| log::warning(&call.global, warning));
    create::write_pid(call, executed.pid)?;
    let handed = call.text("console-socket").is_some_and(|path| !path.is_empty());
    if let Some(terminal) = executed.terminal.as_ref().filter(|_| handed) {
        console::send(call, terminal)?;
    }
    if call.has("detach") {
        return Ok(0);
    }
    console::attend(&executed.pidfd, executed.terminal.filter(|_| !handed))
}

/// The process of `--process`, or the container's own with what the flags change.
fn process(call: &Call, spec: &Spec) -> Result<Process> {
    if let Some(path) = call.text("process").map(Path::new) {
        let text = std::fs::read(path).map_err(Error::file("read", path))?;
        return serde_json::from_slice(&text).map_err(|source| Error::Parse { path: path.to_owned(), source });
    }
    if call.arguments.len() < 2 {
        return Err(Error::Usage(String::from("process args cannot be empty")));
    }
    let mut process = spec.process().clone().unwrap_or_default();
    process.set_args(Some(call.arguments[1..].to_vec())).set_terminal(Some(call.has("tty")));
    if let Some(cwd) = call.text("cwd") {
        process.set_cwd(PathBuf::from(cwd));
    }
    let mut environment = process.env().clone().unwrap_or_default();
    environment.extend_from_slice(call.all("env"));
    process.set_env(Some(environment));
    if let Some(label) = call.text("process-label") {
        process.set_selinux_label(Some(label.to_owned()));
    }
    if let Some(profile) = call.text("apparmor") {
        process.set_apparmor_profile(Some(profile.to_owned()));
    }
    if call.has("no-new-privs") {
        process.set_no_new_privileges(Some(true));
    }
    become_user(call, &mut process)?;
    add_capabilities(call, &mut process)?;
    Ok(process)
}

fn become_user(call: &Call, process: &mut Process) -> Result<()> {
    let mut user: User = process.user().clone();
    let number = |flag: &str, text: &str| {
        text.parse::<u32>().map_err(|_| Error::Value { flag: flag.to_owned(), value: text.to_owned() })
    };
    if let Some(text) = call.text("user") {
        let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
        user.set_uid(number("user", uid)?).set_gid(number("user", gid)?);
    }
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    for text in call.all("additional-gids") {
        groups.push(number("additional-gids", text)?);
    }
    user.set_additional_gids(Some(groups));
    process.set_user(user);
    Ok(())
}

fn add_capabilities(call: &Call, process: &mut Process) -> Result<()> {
    let Some(mut sets) = process.capabilities().clone() else { return Ok(()) };
    for name in call.all("cap") {
        let invalid = || Error::Value { flag: String::from("cap"), value: name.clone() };
        let capability: Capability =
            serde_json::from_value(serde_json::Value::from(name.to_ascii_uppercase())).map_err(|_| invalid())?;
        let with = |list: &Option<Capabilities>| {
            let mut list = list.clone().unwrap_or_default();
            list.insert(capability);
            Some(list)
        };
        let (bounding, effective, permitted) = (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
        sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    }
    process.set_capabilities(Some(sets));
    Ok(())
}
