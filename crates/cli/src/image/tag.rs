//! `berth tag`.

use super::name;
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command};

/// `berth tag`.
pub static COMMAND: Command = Command::verb(
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    Arity::Exactly(2),
    |call| Box::pin(tag(call)),
)
.at(&["image tag", "tag"]);

async fn tag(call: Call) -> Outcome {
    let (repo, tag) = name::split(&call.args[1]).map_err(Failure::new)?;
    let tag = if tag.is_empty() { "latest" } else { tag.as_str() };
    call.client()?.tag(&call.args[0], &repo, tag).await?;
    Ok(0)
}
