//! `berth kill`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[Flag::text("signal", "Signal to send to the container").short('s')];

/// `berth kill`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Kill one or more running containers",
    Arity::AtLeast(1),
    |call| Box::pin(kill(call)),
)
.with(&[FLAGS])
.at(&["container kill", "kill"]);

async fn kill(call: Call) -> Outcome {
    let (client, signal) = (call.client()?, call.flags.text("signal"));
    call.each(&call.args, |name| client.kill(name, signal)).await
}
