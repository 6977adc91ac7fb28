//! `berth save`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::output;

static FLAGS: &[Flag] = &[
    Flag::text("output", "Write to a file, instead of STDOUT").short('o'),
    Flag::list(
        "platform",
        "Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    )
    .value("strings"),
];

/// `berth save`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Save one or more images to a tar archive (streamed to STDOUT by default)",
    Arity::AtLeast(1),
    |call| Box::pin(save(call)),
)
.with(&[FLAGS])
.at(&["image save", "save"]);

async fn save(call: Call) -> Outcome {
    let place = output::Place::choose(call.flags.text("output"), "save")?;
    let stream = call.client()?.save(&call.args, &call.flags.strings("platform")).await?;
    output::save(stream, place).await
}
