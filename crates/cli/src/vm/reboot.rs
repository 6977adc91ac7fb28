//! `berth vm reboot`.

use super::stop::TIMEOUT;
use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[Flag::switch("hard", "Press the reset button: the guest is not asked"), TIMEOUT];

/// `berth vm reboot`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE [MACHINE...]",
    "Have the guests of one or more virtual machines shut down, and start the machines anew",
    Arity::AtLeast(1),
    |call| Box::pin(reboot(call)),
)
.with(&[FLAGS]);

async fn reboot(call: Call) -> Outcome {
    let (client, flags) = (call.client()?, &call.flags);
    call.each(&call.args, |name| client.reboot_machine(name, flags.text("timeout"), flags.on("hard"))).await
}
