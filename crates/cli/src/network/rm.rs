//! `berth network rm`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[Flag::switch("force", "Do not error if the network does not exist").short('f')];

/// `berth network rm`.
pub static COMMAND: Command =
    Command::verb("NETWORK [NETWORK...]", "Remove one or more networks", Arity::AtLeast(1), |call| Box::pin(rm(call)))
        .with(&[FLAGS])
        .at(&["network rm", "network remove"]);

async fn rm(call: Call) -> Outcome {
    let (client, force) = (call.client()?, call.flags.on("force"));
    let mut failed = false;
    for name in &call.args {
        match client.remove_network(name).await {
            Ok(()) => crate::say!("{name}")?,
            // Forced removal of what is not there has done its work.
            Err(e) if force && e.is_not_found() => {}
            Err(e) => {
                failed = true;
                crate::complain!("{e}");
            }
        }
    }
    if failed { Err(Failure::silent(1)) } else { Ok(0) }
}
