//! `berth image copy`: from registry to registry.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::{credential, progress};
use berth_client::Request;
use berth_spec::Reference;

static FLAGS: &[Flag] = &[Flag::switch("quiet", "Suppress verbose output").short('q')];

/// `berth image copy`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] SOURCE TARGET",
    "Copy an image with all its platforms from one registry to another",
    Arity::Exactly(2),
    |call| Box::pin(copy(call)),
)
.with(&[FLAGS])
.at(&["image copy"]);

async fn copy(call: Call) -> Outcome {
    let parse = |name: &str| Reference::parse(name).map_err(|error| Failure::new(error.to_string()));
    let (source, target) = (parse(&call.args[0])?, parse(&call.args[1])?);
    let request = Request::post("/berth/images/copy").text("from", &call.args[0]).text("to", &call.args[1]);
    let request = request.header("x-registry-config", credential::headers(&call, &[&source, &target]));
    let stream = call.client()?.stream(request).await?.documents();
    progress::show(stream, call.flags.on("quiet")).await?;
    Ok(0)
}
