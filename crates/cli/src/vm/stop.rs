//! `berth vm stop`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};

/// How long a guest may take.
pub const TIMEOUT: Flag = Flag::text("timeout", "Seconds that the guest may take to shut down (default 60)")
    .short('t')
    .value("int")
    .check(check);

static FLAGS: &[Flag] = &[
    Flag::switch("force", "Stop at once, without asking the guest; a suspended machine loses its state").short('f'),
    TIMEOUT,
];

/// `berth vm stop`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE [MACHINE...]",
    "Have the guests of one or more virtual machines shut down; stop those that do not in time",
    Arity::AtLeast(1),
    |call| Box::pin(stop(call)),
)
.with(&[FLAGS]);

fn check(text: &str) -> Result<(), String> {
    text.parse::<u32>().map(drop).map_err(|_| format!("{text:?} is no number of seconds"))
}

async fn stop(call: Call) -> Outcome {
    let (client, flags) = (call.client()?, &call.flags);
    call.each(&call.args, |name| client.stop_machine(name, flags.text("timeout"), flags.on("force"))).await
}
