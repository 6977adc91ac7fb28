//! `berth vm rm`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[Flag::switch("force", "Remove it as it is, running or suspended").short('f')];

/// `berth vm rm`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE [MACHINE...]",
    "Remove one or more virtual machines with their own disks and their snapshots",
    Arity::AtLeast(1),
    |call| Box::pin(rm(call)),
)
.with(&[FLAGS]);

async fn rm(call: Call) -> Outcome {
    let client = call.client()?;
    call.each(&call.args, |name| client.remove_machine(name, call.flags.on("force"))).await
}
