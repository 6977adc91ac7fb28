//! `berth container prune`.

use crate::call::{Call, Outcome};
use crate::format::filter;
use crate::grammar::{Arity, Command, Flag};
use crate::{prompt, text};

static FLAGS: &[Flag] = &[
    Flag::filter("Provide filter values (e.g. \"until=<timestamp>\")"),
    Flag::switch("force", "Do not prompt for confirmation").short('f'),
];

/// `berth container prune`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "Remove all stopped containers", Arity::None, |call| Box::pin(prune(call)))
        .with(&[FLAGS]);

async fn prune(call: Call) -> Outcome {
    let warning = "WARNING! This will remove all stopped containers.";
    if !call.flags.on("force") && !prompt::confirm(warning)? {
        return Ok(0);
    }
    let pruned = call.client()?.prune_containers(&filter::json(call.flags.list("filter"), &[])).await?;
    if !pruned.containers.is_empty() {
        crate::say!("Deleted Containers:\n{}\n", pruned.containers.join("\n"))?;
    }
    crate::say!("Total reclaimed space: {}", text::space(pruned.space_bytes))?;
    Ok(0)
}
