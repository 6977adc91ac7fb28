//! `RUN` with its flags and heredocs.

use super::form;
use super::statement::Statement;
use crate::diagnostic::Diagnostic;
use crate::instruction::{Command, Device, Form, Network, Run, Security};
use crate::limit;
use crate::line::Reader;
use crate::mount;

pub(super) fn run(statement: &Statement<'_>, reader: &mut Reader<'_>) -> Result<Command, Diagnostic> {
    let mut run = Run {
        form: form::form(statement)?,
        mounts: Vec::new(),
        network: None,
        security: None,
        devices: Vec::new(),
        heredocs: Vec::new(),
    };
    if let Form::Shell(line) = &run.form {
        let openings = crate::heredoc::openings(line, statement.escape);
        run.heredocs = statement.read_heredocs(openings, reader)?;
    }
    statement.each_flag(&["mount*", "network", "security", "device*"], &[], |name, value| {
        match name {
            "mount" if run.mounts.len() >= limit::MOUNTS => return Err(format!("more than {} mounts", limit::MOUNTS)),
            "mount" => run.mounts.push(mount::flag(value)?),
            "network" => {
                let network = match value.as_str() {
                    "default" => Network::Default,
                    "none" => Network::None,
                    "host" => Network::Host,
                    other => return Err(format!("invalid network mode {other:?}: use default, none or host")),
                };
                run.network = Some(value.map(|_| network));
            }
            "security" => {
                let security = match value.as_str() {
                    "sandbox" => Security::Sandbox,
                    "insecure" => Security::Insecure,
                    other => return Err(format!("security {other:?} is not valid: use sandbox or insecure")),
                };
                run.security = Some(value.map(|_| security));
            }
            _ => {
                let device = device(&value)?;
                run.devices.push(value.map(|_| device));
            }
        }
        Ok(())
    })?;
    let empty = match &run.form {
        Form::Exec(words) => words.is_empty(),
        Form::Shell(line) => line.is_empty(),
    };
    match empty {
        true => Err(statement.fault("RUN requires at least one argument")),
        false => Ok(Command::Run(run)),
    }
}

/// `NAME[,required]` or `name=NAME[,required[=BOOL]]`.
fn device(text: &str) -> Result<Device, String> {
    let mut device = Device { name: String::new(), required: false };
    for field in text.split(',') {
        match field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value))) {
            ("required", None | Some("true")) => device.required = true,
            ("required", Some("false")) => device.required = false,
            ("name", Some(name)) => device.name = name.to_owned(),
            // A CDI name holds an equals sign of its own: vendor.com/class=device.
            _ if device.name.is_empty() => device.name = field.to_owned(),
            _ => return Err(format!("unexpected key '{field}' in '{text}'")),
        }
    }
    match device.name.is_empty() {
        true => Err(format!("a device needs a name: {text:?}")),
        false => Ok(device),
    }
}
