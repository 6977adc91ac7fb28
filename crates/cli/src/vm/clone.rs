//! `berth vm clone`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[Flag::text("snapshot", "Clone what this snapshot has on its disks")];

/// `berth vm clone`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE NEW",
    "Make another virtual machine like one that is off, with disks of its own",
    Arity::Exactly(2),
    |call| Box::pin(clone(call)),
)
.with(&[FLAGS]);

async fn clone(call: Call) -> Outcome {
    let made = call.client()?.clone_machine(&call.args[0], &call.args[1], call.flags.text("snapshot")).await?;
    crate::say!("{}", made["Name"].as_str().unwrap_or_default())?;
    Ok(0)
}
