//! `berth rename`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command};

/// `berth rename`.
pub static COMMAND: Command =
    Command::verb("CONTAINER NEW_NAME", "Rename a container", Arity::Exactly(2), |call| Box::pin(rename(call)))
        .at(&["container rename", "rename"]);

async fn rename(call: Call) -> Outcome {
    let (old, new) = (call.args[0].trim(), call.args[1].trim());
    if old.is_empty() || new.is_empty() {
        return Err(Failure::new("Error: Neither old nor new names may be empty"));
    }
    match call.client()?.rename(old, new).await {
        Ok(()) => Ok(0),
        Err(e) => {
            crate::complain!("{e}");
            Err(Failure::new(format!("Error: failed to rename container named {old}")))
        }
    }
}
