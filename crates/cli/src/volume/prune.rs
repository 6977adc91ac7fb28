//! `berth volume prune`.

use crate::call::{Call, Failure, Outcome};
use crate::format::filter;
use crate::grammar::{Arity, Command, Flag};
use crate::{prompt, text};

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Remove all unused volumes, not just anonymous ones").short('a'),
    Flag::filter("Provide filter values (e.g. \"label=<label>\")"),
    Flag::switch("force", "Do not prompt for confirmation").short('f'),
];

/// `berth volume prune`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "Remove unused local volumes", Arity::None, |call| Box::pin(prune(call))).with(&[FLAGS]);

async fn prune(call: Call) -> Outcome {
    let flags = &call.flags;
    let all = flags.on("all");
    if all && flags.list("filter").any(|text| text.starts_with("all=")) {
        return Err(Failure::new("conflicting options: cannot specify both --all and --filter all=1"));
    }
    let warning = match all {
        true => "WARNING! This will remove all local volumes not used by at least one container.",
        false => "WARNING! This will remove anonymous local volumes not used by at least one container.",
    };
    if !flags.on("force") && !prompt::confirm(warning)? {
        return Ok(0);
    }
    let more: &[(&str, &str)] = if all { &[("all", "true")] } else { &[] };
    let pruned = call.client()?.prune_volumes(&filter::json(flags.list("filter"), more)).await?;
    if !pruned.volumes.is_empty() {
        crate::say!("Deleted Volumes:\n{}\n", pruned.volumes.join("\n"))?;
    }
    crate::say!("Total reclaimed space: {}", text::space(pruned.space_bytes))?;
    Ok(0)
}
