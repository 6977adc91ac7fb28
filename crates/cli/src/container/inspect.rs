//! `berth container inspect`.

use crate::call::{Call, Outcome};
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};
use crate::system::inspect::{self, Kind};

static FLAGS: &[Flag] = &[format_flag::PLAIN.short('f'), Flag::switch("size", "Display total file sizes").short('s')];

/// `berth container inspect`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Display detailed information on one or more containers",
    Arity::AtLeast(1),
    |call| Box::pin(run(call)),
)
.with(&[FLAGS]);

async fn run(call: Call) -> Outcome {
    inspect::objects(&call, &[Kind::Container]).await
}
