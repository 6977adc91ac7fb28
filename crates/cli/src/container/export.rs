//! `berth export`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::output;

static FLAGS: &[Flag] = &[Flag::text("output", "Write to a file, instead of STDOUT").short('o')];

/// `berth export`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] CONTAINER",
    "Export a container's filesystem as a tar archive",
    Arity::Exactly(1),
    |call| Box::pin(export(call)),
)
.with(&[FLAGS])
.at(&["container export", "export"]);

async fn export(call: Call) -> Outcome {
    let path = call.flags.text("output");
    let place = output::Place::choose(path, "export")?;
    let stream = call.client()?.export(&call.args[0]).await?;
    output::save(stream, place).await
}
