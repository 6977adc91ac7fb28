//! `berth restart`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[
    Flag::text("signal", "Signal to send to the container").short('s'),
    Flag::int("timeout", "Seconds to wait before killing the container").short('t'),
    Flag::int("time", "").hidden(),
];

/// `berth restart`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] CONTAINER [CONTAINER...]", "Restart one or more containers", Arity::AtLeast(1), |call| {
        Box::pin(restart(call))
    })
    .with(&[FLAGS])
    .at(&["container restart", "restart"]);

async fn restart(call: Call) -> Outcome {
    let (client, flags) = (call.client()?, &call.flags);
    if flags.given("time") && flags.given("timeout") {
        return Err(Failure::new("conflicting options: cannot specify both --timeout and --time"));
    }
    let name = if flags.given("time") { "time" } else { "timeout" };
    let timeout_s = flags.given(name).then(|| flags.int(name));
    call.each(&call.args, |name| client.restart(name, flags.text("signal"), timeout_s)).await
}
