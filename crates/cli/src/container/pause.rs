//! `berth pause`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command};

/// `berth pause`.
pub static COMMAND: Command = Command::verb(
    "CONTAINER [CONTAINER...]",
    "Pause all processes within one or more containers",
    Arity::AtLeast(1),
    |call| Box::pin(pause(call)),
)
.at(&["container pause", "pause"]);

async fn pause(call: Call) -> Outcome {
    let client = call.client()?;
    call.each(&call.args, |name| client.pause(name)).await
}
