//! `berth volume inspect`.

use crate::call::{Call, Outcome};
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};
use crate::system::inspect::{self, Kind};

static FLAGS: &[Flag] = &[format_flag::PLAIN.short('f')];

/// `berth volume inspect`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] VOLUME [VOLUME...]",
    "Display detailed information on one or more volumes",
    Arity::AtLeast(1),
    |call| Box::pin(run(call)),
)
.with(&[FLAGS]);

async fn run(call: Call) -> Outcome {
    inspect::objects(&call, &[Kind::Volume]).await
}
