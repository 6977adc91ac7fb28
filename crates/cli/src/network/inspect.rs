//! `berth network inspect`.

use crate::call::{Call, Outcome};
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};
use crate::system::inspect::{self, Kind};

static FLAGS: &[Flag] =
    &[format_flag::PLAIN.short('f'), Flag::switch("verbose", "Verbose output for diagnostics").short('v')];

/// `berth network inspect`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] NETWORK [NETWORK...]",
    "Display detailed information on one or more networks",
    Arity::AtLeast(1),
    |call| Box::pin(run(call)),
)
.with(&[FLAGS]);

async fn run(call: Call) -> Outcome {
    inspect::objects(&call, &[Kind::Network]).await
}
