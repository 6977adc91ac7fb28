//! `berth vm restore`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[Flag::switch("force", "Give up what the machine is now, running or suspended").short('f')];

/// `berth vm restore`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE SNAPSHOT",
    "Put a virtual machine back to what it was when a snapshot was taken",
    Arity::Exactly(2),
    |call| Box::pin(restore(call)),
)
.with(&[FLAGS]);

async fn restore(call: Call) -> Outcome {
    call.client()?.restore_snapshot(&call.args[0], &call.args[1], call.flags.on("force")).await?;
    crate::say!("{}", call.args[0])?;
    Ok(0)
}
