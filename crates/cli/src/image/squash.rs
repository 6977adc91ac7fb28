//! `berth image squash`: all layers of an image in one.

use berth_client::Request;
use serde_json::Value;

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[Flag::text("tag", "Name of the new image").short('t')];

/// `berth image squash`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] IMAGE", "Make an image of one layer of an image of several", Arity::Exactly(1), |call| {
        Box::pin(squash(call))
    })
    .with(&[FLAGS])
    .at(&["image squash"]);

async fn squash(call: Call) -> Outcome {
    let request = Request::post("/berth/images/squash").text("from", &call.args[0]);
    let made: Value = call.client()?.json(request.text("repo", call.flags.text("tag"))).await?;
    crate::say!("{}", made["Id"].as_str().unwrap_or_default())?;
    Ok(0)
}
