//! `berth image prune`.

use crate::call::{Call, Outcome};
use crate::format::filter;
use crate::grammar::{Arity, Command, Flag};
use crate::{prompt, text};
use berth_client::answer::Deleted;

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Remove all unused images, not just dangling ones").short('a'),
    Flag::filter("Provide filter values (e.g. \"until=<timestamp>\")"),
    Flag::switch("force", "Do not prompt for confirmation").short('f'),
];

/// `berth image prune`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "Remove unused images", Arity::None, |call| Box::pin(prune(call))).with(&[FLAGS]);

async fn prune(call: Call) -> Outcome {
    let all = call.flags.on("all");
    let warning = match all {
        true => "WARNING! This will remove all images without at least one container associated to them.",
        false => "WARNING! This will remove all dangling images.",
    };
    if !call.flags.on("force") && !prompt::confirm(warning)? {
        return Ok(0);
    }
    let dangling = if all { "false" } else { "true" };
    let filters = filter::json(call.flags.list("filter"), &[("dangling", dangling)]);
    let pruned = call.client()?.prune_images(&filters).await?;
    crate::put!("{}", deleted(&pruned.images))?;
    crate::say!("Total reclaimed space: {}", text::space(pruned.space_bytes))?;
    Ok(0)
}

/// The list of what was removed, or nothing.
#[must_use]
pub fn deleted(images: &[Deleted]) -> String {
    if images.is_empty() {
        return String::new();
    }
    let line = |row: &Deleted| match row.untagged.is_empty() {
        false => format!("untagged: {}\n", row.untagged),
        true => format!("deleted: {}\n", row.deleted),
    };
    format!("Deleted Images:\n{}\n", images.iter().map(line).collect::<String>())
}
