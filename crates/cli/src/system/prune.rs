//! `berth system prune`.

use crate::call::{Call, Failure, Outcome};
use crate::format::filter;
use crate::grammar::{Arity, Command, Flag};
use crate::image::prune::deleted;
use crate::{prompt, text};
use berth_client::answer::Pruned;
use berth_client::{Client, Request};

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Remove all unused images not just dangling ones").short('a'),
    Flag::filter("Provide filter values (e.g. \"label=<key>=<value>\")"),
    Flag::switch("force", "Do not prompt for confirmation").short('f'),
    Flag::switch("volumes", "Prune anonymous volumes"),
];

/// `berth system prune`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "Remove unused data", Arity::None, |call| Box::pin(prune(call))).with(&[FLAGS]);

async fn prune(call: Call) -> Outcome {
    let flags = &call.flags;
    let (all, volumes) = (flags.on("all"), flags.on("volumes"));
    if volumes && flags.list("filter").any(|text| text.starts_with("until=")) {
        return Err(Failure::new("ERROR: The \"until\" filter is not supported with \"--volumes\""));
    }
    if !flags.on("force") && !prompt::confirm(&warning(all, volumes))? {
        return Ok(0);
    }
    let client = call.client()?;
    let filters = filter::json(flags.list("filter"), &[]);
    let dangling = if all { "false" } else { "true" };
    let image_filters = filter::json(flags.list("filter"), &[("dangling", dangling)]);
    let mut space_bytes = 0;
    let pruned = client.prune_containers(&filters).await?;
    list("Deleted Containers:", &pruned.containers)?;
    space_bytes += pruned.space_bytes;
    if let Some(pruned) = optional(client, "/networks/prune", &filters).await? {
        list("Deleted Networks:", &pruned.networks)?;
    }
    if volumes && let Some(pruned) = optional(client, "/volumes/prune", &filters).await? {
        list("Deleted Volumes:", &pruned.volumes)?;
        space_bytes += pruned.space_bytes;
    }
    let pruned = client.prune_images(&image_filters).await?;
    crate::put!("{}", deleted(&pruned.images))?;
    space_bytes += pruned.space_bytes;
    crate::say!("Total reclaimed space: {}", text::space(space_bytes))?;
    Ok(0)
}

fn warning(all: bool, volumes: bool) -> String {
    let mut text = "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one \
                    container\n"
        .to_owned();
    if volumes {
        text.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    text.push_str(match all {
        true => "  - all images without at least one container associated to them\n",
        false => "  - all dangling images\n",
    });
    text
}

/// Prunes a group that a daemon may not have built yet; then there is nothing of it to remove.
async fn optional(client: &Client, path: &str, filters: &str) -> Result<Option<Pruned>, Failure> {
    match client.json(Request::post(path).text("filters", filters)).await {
        Ok(pruned) => Ok(Some(pruned)),
        Err(berth_client::Error::Status { code: 501, .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn list(head: &str, names: &[String]) -> Result<(), Failure> {
    if !names.is_empty() {
        crate::say!("{head}\n{}\n", names.join("\n"))?;
    }
    Ok(())
}
