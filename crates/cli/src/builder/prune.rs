//! `berth builder prune`.

use berth_client::Request;
use serde_json::Value;

use crate::call::{Call, Failure, Outcome};
use crate::format::filter;
use crate::grammar::{Arity, Command, Flag};
use crate::{prompt, text};

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Remove all unused build cache, not just dangling ones").short('a'),
    Flag::filter("Provide filter values (e.g. \"until=24h\")"),
    Flag::switch("force", "Do not prompt for confirmation").short('f'),
    Flag::bytes("keep-storage", "Amount of disk space to keep for cache"),
];

/// `berth builder prune`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "Remove build cache", Arity::None, |call| Box::pin(prune(call))).with(&[FLAGS]);

async fn prune(call: Call) -> Outcome {
    let flags = &call.flags;
    if !flags.on("force")
        && !prompt::confirm("WARNING! This will remove all build cache. Are you sure you want to continue?")?
    {
        return Ok(0);
    }
    let filters = filter::json(flags.list("filter"), &[]);
    let mut request = Request::post("/build/prune").on("all", flags.on("all")).text("filters", &filters);
    if !flags.text("keep-storage").is_empty() {
        let keep = berth_kit::size::parse_bytes(flags.text("keep-storage"))
            .map_err(|error| Failure::new(error.to_string()))?;
        request = request.text("keep-storage", &keep.to_string());
    }
    let answer: Value = call.client()?.json(request).await?;
    for id in answer["CachesDeleted"].as_array().into_iter().flatten() {
        crate::say!("{}", id.as_str().unwrap_or_default())?;
    }
    crate::say!("Total:\t{}", text::space(answer["SpaceReclaimed"].as_u64().unwrap_or(0)))?;
    Ok(0)
}
