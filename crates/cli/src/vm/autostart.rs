//! `berth vm autostart`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};
use serde_json::json;

static FLAGS: &[Flag] = &[Flag::switch("disable", "Do not start it with the daemon any more")];

/// `berth vm autostart`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE [MACHINE...]",
    "Start one or more virtual machines whenever the daemon starts",
    Arity::AtLeast(1),
    |call| Box::pin(autostart(call)),
)
.with(&[FLAGS]);

async fn autostart(call: Call) -> Outcome {
    let client = call.client()?;
    let body = json!({"autostart": !call.flags.on("disable")});
    call.each(&call.args, |name| {
        let body = &body;
        async move { client.set_machine(name, body).await.map(drop) }
    })
    .await
}
