//! `delete`: takes away what is left of a container that has ended.

use std::time::{Duration, Instant};

use berth_runtime::hook;
use berth_sys::process::birth;

use crate::error::{Error, Result};
use crate::grammar::{Call, Command, switch};
use crate::record::{Record, Status};
use crate::store::{Place, Store};
use crate::{kill, log};

/// How long a killed process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
pub static COMMAND: Command = Command {
    name: "delete",
    arguments: "ID",
    about: "delete a container that is stopped",
    flags: &[switch("force", "f", "kill it first if it runs")],
    arity: (1, 1),
    run: |call| {
        let store = Store::new(&call.global.root);
        match store.find(call.id()) {
            Ok((place, record)) => delete(call, &place, &record, call.has("force"))?,
            Err(Error::NotFound { .. }) if call.has("force") => {
                store.find_unfinished(call.id())?.map_or(Ok(()), |place| place.remove())?;
            }
            Err(error) => return Err(error),
        }
        Ok(0)
    },
};

/// Deletes a container; one that runs only with `force`.
pub fn delete(call: &Call, place: &Place, record: &Record, force: bool) -> Result<()> {
    match record.status(place) {
        Status::Stopped => {}
        Status::Running | Status::Paused if !force => {
            let status = record.status(place).word();
            let text = format!("cannot delete container {} that is not stopped: {status}", record.id);
            return Err(Error::State(text));
        }
        _ => end(record)?,
    }
    if let Some(cgroup) = record.cgroup() {
        if cgroup.pids().is_ok_and(|pids| !pids.is_empty()) {
            cgroup.kill_all()?;
        }
        cgroup.remove()?;
    }
    // Before the directory goes: hooks come from the specification in it.
    let hooks = place.spec().ok().and_then(|spec| spec.hooks().clone());
    place.remove()?;
    if let Some(hooks) = hooks
        && let Err(message) = hook::run("poststop", hooks.poststop().as_ref(), &record.state(Status::Stopped))
    {
        log::warning(&call.global, &message);
    }
    Ok(())
}

fn end(record: &Record) -> Result<()> {
    if let Some(cgroup) = record.cgroup() {
        cgroup.kill_all()?;
    }
    match kill::first(record, libc::SIGKILL) {
        // It ended by itself.
        Err(Error::State(_)) | Ok(()) => {}
        Err(error) => return Err(error),
    }
    let begun = Instant::now();
    while birth(record.pid) == Some(record.born) {
        if begun.elapsed() > PATIENCE {
            return Err(Error::State(format!("container {} does not end, though it was killed", record.id)));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
