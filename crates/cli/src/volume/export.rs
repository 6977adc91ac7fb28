//! `berth volume export`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::output;

static FLAGS: &[Flag] = &[Flag::text("output", "Write to a file, instead of STDOUT").short('o')];

/// `berth volume export`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] VOLUME", "Write the contents of a volume as a tar archive", Arity::Exactly(1), |call| {
        Box::pin(export(call))
    })
    .with(&[FLAGS]);

async fn export(call: Call) -> Outcome {
    let place = output::Place::choose(call.flags.text("output"), "export")?;
    let stream = call.client()?.export_volume(&call.args[0]).await?;
    output::save(stream, place).await
}
