//! `berth vm suspend`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[Flag::switch("memory", "Keep the guest in memory, with its monitor, instead of on disk")];

/// `berth vm suspend`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE [MACHINE...]",
    "Let one or more virtual machines stand still, on disk",
    Arity::AtLeast(1),
    |call| Box::pin(suspend(call)),
)
.with(&[FLAGS]);

async fn suspend(call: Call) -> Outcome {
    let client = call.client()?;
    call.each(&call.args, |name| client.suspend_machine(name, call.flags.on("memory"))).await
}
