//! `berth stop`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[
    Flag::text("signal", "Signal to send to the container").short('s'),
    Flag::int("timeout", "Seconds to wait before killing the container").short('t'),
    Flag::int("time", "").hidden(),
];

/// `berth stop`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Stop one or more running containers",
    Arity::AtLeast(1),
    |call| Box::pin(stop(call)),
)
.with(&[FLAGS])
.at(&["container stop", "stop"]);

async fn stop(call: Call) -> Outcome {
    let (client, flags) = (call.client()?, &call.flags);
    if flags.given("time") && flags.given("timeout") {
        return Err(Failure::new("conflicting options: cannot specify both --timeout and --time"));
    }
    let name = if flags.given("time") { "time" } else { "timeout" };
    let timeout_s = flags.given(name).then(|| flags.int(name));
    call.each(&call.args, |name| client.stop(name, flags.text("signal"), timeout_s)).await
}
