//! `start`: lets a container go that `create` made.

use berth_runtime::{Latch, hook};

use crate::error::{Error, Result};
use crate::grammar::{Call, Command};
use crate::log;
use crate::record::{Record, Status};
use crate::store::{Place, Store};

/// See the module.
pub static COMMAND: Command = Command {
    name: "start",
    arguments: "ID",
    about: "execute the program of a created container",
    flags: &[],
    arity: (1, 1),
    run: |call| {
        let (place, record) = Store::new(&call.global.root).find(call.id())?;
        start(call, &place, &record)?;
        Ok(0)
    },
};

/// Lifts the latch, then runs the hooks that wait for it.
pub fn start(call: &Call, place: &Place, record: &Record) -> Result<()> {
    match record.status(place) {
        Status::Created => {}
        Status::Stopped => return Err(Error::State(String::from("cannot start a container that has stopped"))),
        Status::Running | Status::Paused => {
            return Err(Error::State(String::from("cannot start an already running container")));
        }
    }
    Latch::lift(&place.latch())?;
    if let Some(hooks) = place.spec()?.hooks() {
        // They cannot stop what runs already: the specification wants a warning.
        if let Err(message) = hook::run("poststart", hooks.poststart().as_ref(), &record.state(Status::Running)) {
            log::warning(&call.global, &message);
        }
    }
    Ok(())
}
