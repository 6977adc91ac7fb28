//! `run`: create and start; without `--detach` also wait and delete.

use crate::console;
use crate::create::{self, FLAGS};
use crate::error::Result;
use crate::grammar::{Call, Command};
use crate::{delete, start};

/// See the module.
pub static COMMAND: Command =
    Command { name: "run", arguments: "ID", about: "create and run a container", flags: FLAGS, arity: (1, 1), run };

fn run(call: &Call) -> Result<u8> {
    let detached = call.has("detach");
    let mut made = create::make(call, !detached)?;
    let terminal = made.terminal.take();
    let handed = call.text("console-socket").is_some_and(|path| !path.is_empty());
    if let Some(terminal) = terminal.as_ref().filter(|_| handed) {
        console::send(call, terminal)?;
    }
    start::start(call, &made.place, &made.record)?;
    if detached {
        return Ok(0);
    }
    let code = console::attend(&made.created.container.pidfd, terminal.filter(|_| !handed))?;
    if !call.has("keep") {
        delete::delete(call, &made.place, &made.record, true)?;
    }
    Ok(code)
}
