//! `berth vm export`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::output;

static FLAGS: &[Flag] = &[Flag::text("output", "Write to a file, instead of STDOUT").short('o')];

/// `berth vm export`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE",
    "Write a virtual machine that is off, with its disks, to a tar archive",
    Arity::Exactly(1),
    |call| Box::pin(export(call)),
)
.with(&[FLAGS]);

async fn export(call: Call) -> Outcome {
    let place = output::Place::choose(call.flags.text("output"), "export")?;
    let stream = call.client()?.export_machine(&call.args[0]).await?;
    output::save(stream, place).await
}
