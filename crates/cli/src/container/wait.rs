//! `berth wait`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command};

/// `berth wait`.
pub static COMMAND: Command = Command::verb(
    "CONTAINER [CONTAINER...]",
    "Block until one or more containers stop, then print their exit codes",
    Arity::AtLeast(1),
    |call| Box::pin(wait(call)),
)
.at(&["container wait", "wait"]);

async fn wait(call: Call) -> Outcome {
    let client = call.client()?;
    let mut failed = false;
    for name in &call.args {
        let waiting = async { client.wait(name, "").await?.finish().await };
        match waiting.await {
            Ok(code) => crate::say!("{code}")?,
            Err(e) => {
                crate::complain!("{e}");
                failed = true;
            }
        }
    }
    if failed { Err(Failure::silent(1)) } else { Ok(0) }
}
