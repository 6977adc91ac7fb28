//! `berth network prune`.

use crate::call::{Call, Outcome};
use crate::format::filter;
use crate::grammar::{Arity, Command, Flag};
use crate::prompt;

static FLAGS: &[Flag] = &[
    Flag::filter("Provide filter values (e.g. \"until=<timestamp>\")"),
    Flag::switch("force", "Do not prompt for confirmation").short('f'),
];

/// `berth network prune`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "Remove all unused networks", Arity::None, |call| Box::pin(prune(call))).with(&[FLAGS]);

async fn prune(call: Call) -> Outcome {
    let warning = "WARNING! This will remove all custom networks not used by at least one container.";
    if !call.flags.on("force") && !prompt::confirm(warning)? {
        return Ok(0);
    }
    let pruned = call.client()?.prune_networks(&filter::json(call.flags.list("filter"), &[])).await?;
    if !pruned.networks.is_empty() {
        crate::say!("Deleted Networks:\n{}\n", pruned.networks.join("\n"))?;
    }
    Ok(0)
}
