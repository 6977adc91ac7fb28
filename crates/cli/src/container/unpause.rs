//! `berth unpause`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command};

/// `berth unpause`.
pub static COMMAND: Command = Command::verb(
    "CONTAINER [CONTAINER...]",
    "Unpause all processes within one or more containers",
    Arity::AtLeast(1),
    |call| Box::pin(unpause(call)),
)
.at(&["container unpause", "unpause"]);

async fn unpause(call: Call) -> Outcome {
    let client = call.client()?;
    call.each(&call.args, |name| client.unpause(name)).await
}
