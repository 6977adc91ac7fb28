//! `berth vm inspect`.

use crate::call::{Call, Outcome};
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};
use crate::system::inspect::{self, Kind};

static FLAGS: &[Flag] = &[format_flag::PLAIN.short('f')];

/// `berth vm inspect`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE [MACHINE...]",
    "Display detailed information on one or more virtual machines",
    Arity::AtLeast(1),
    |call| Box::pin(run(call)),
)
.with(&[FLAGS]);

async fn run(call: Call) -> Outcome {
    inspect::objects(&call, &[Kind::Machine]).await
}
