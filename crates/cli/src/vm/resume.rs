//! `berth vm resume`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command};

/// `berth vm resume`.
pub static COMMAND: Command = Command::verb(
    "MACHINE [MACHINE...]",
    "Let one or more virtual machines that stand still go on",
    Arity::AtLeast(1),
    |call| Box::pin(resume(call)),
);

async fn resume(call: Call) -> Outcome {
    let client = call.client()?;
    call.each(&call.args, |name| client.resume_machine(name)).await
}
