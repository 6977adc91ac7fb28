//! `berth volume rm`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[Flag::switch("force", "Force the removal of one or more volumes").short('f')];

/// `berth volume rm`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] VOLUME [VOLUME...]", "Remove one or more volumes", Arity::AtLeast(1), |call| {
        Box::pin(rm(call))
    })
    .with(&[FLAGS])
    .at(&["volume rm", "volume remove"]);

async fn rm(call: Call) -> Outcome {
    let (client, force) = (call.client()?, call.flags.on("force"));
    let mut failed = false;
    for name in &call.args {
        match client.remove_volume(name, force).await {
            Ok(()) => crate::say!("{name}")?,
            Err(e) => {
                failed = true;
                crate::complain!("{e}");
            }
        }
    }
    if failed { Err(Failure::silent(1)) } else { Ok(0) }
}
