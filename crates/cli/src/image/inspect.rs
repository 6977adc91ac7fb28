//! `berth image inspect`.

use crate::call::{Call, Outcome};
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};
use crate::system::inspect::{self, Kind};

static FLAGS: &[Flag] = &[
    format_flag::PLAIN.short('f'),
    Flag::text("platform", "Inspect a specific platform of the multi-platform image."),
];

/// `berth image inspect`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Display detailed information on one or more images",
    Arity::AtLeast(1),
    |call| Box::pin(run(call)),
)
.with(&[FLAGS]);

async fn run(call: Call) -> Outcome {
    inspect::objects(&call, &[Kind::Image]).await
}
