//! `berth network disconnect`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[Flag::switch("force", "Force the container to disconnect from a network").short('f')];

/// `berth network disconnect`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] NETWORK CONTAINER", "Disconnect a container from a network", Arity::Exactly(2), |call| {
        Box::pin(disconnect(call))
    })
    .with(&[FLAGS]);

async fn disconnect(call: Call) -> Outcome {
    call.client()?.disconnect_network(&call.args[0], &call.args[1], call.flags.on("force")).await?;
    Ok(0)
}
