//! `berth vm start`.

use super::console;
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[
    Flag::switch("console", "Attach to the serial port").short('c'),
    Flag::text("detach-keys", "Override the key sequence for detaching from the serial port"),
];

/// `berth vm start`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE [MACHINE...]",
    "Start one or more virtual machines; suspended ones go on where they were",
    Arity::AtLeast(1),
    |call| Box::pin(start(call)),
)
.with(&[FLAGS]);

async fn start(call: Call) -> Outcome {
    let client = call.client()?;
    if !call.flags.on("console") {
        return call.each(&call.args, |name| client.start_machine(name)).await;
    }
    let [name] = &call.args[..] else {
        return Err(Failure::new("you cannot attach to the consoles of several machines at once"));
    };
    client.start_machine(name).await?;
    console::attach(&call, name, true).await
}
