//! `berth diff`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command};

/// `berth diff`.
pub static COMMAND: Command = Command::verb(
    "CONTAINER",
    "Inspect changes to files or directories on a container's filesystem",
    Arity::Exactly(1),
    |call| Box::pin(diff(call)),
)
.at(&["container diff", "diff"]);

async fn diff(call: Call) -> Outcome {
    if call.args[0].is_empty() {
        return Err(Failure::new("Container name cannot be empty"));
    }
    for change in call.client()?.changes(&call.args[0]).await? {
        let letter = match change.kind {
            1 => 'A',
            2 => 'D',
            _ => 'C',
        };
        crate::say!("{letter} {}", change.path)?;
    }
    Ok(0)
}
