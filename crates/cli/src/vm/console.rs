//! `berth vm console`.

use crate::call::{Call, Failure, Outcome};
use crate::container::join::leave_on_signal;
use crate::container::run::detach_keys;
use crate::grammar::{Arity, Command, Flag};
use crate::terminal::raw::Raw;
use crate::terminal::session::{Ended, Session};
use std::io::IsTerminal;

static FLAGS: &[Flag] = &[
    Flag::text("detach-keys", "Override the key sequence for detaching"),
    Flag::switch("no-replay", "Do not show what the guest said before"),
    Flag::switch("no-stdin", "Do not attach STDIN"),
];

/// `berth vm console`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE",
    "Attach to the serial port of a running virtual machine (ctrl-p ctrl-q detaches)",
    Arity::Exactly(1),
    |call| Box::pin(console(call)),
)
.with(&[FLAGS]);

async fn console(call: Call) -> Outcome {
    let stdin = !call.flags.on("no-stdin");
    attach(&call, &call.args[0], stdin).await
}

/// Joins the user with a machine's serial port until it ends or the user leaves.
///
/// # Errors
/// The machine does not run.
pub async fn attach(call: &Call, name: &str, stdin: bool) -> Outcome {
    let keys = detach_keys(call)?;
    let hijacked = call.client()?.machine_console(name, !call.flags.on("no-replay")).await?;
    let raw = if stdin && std::io::stdin().is_terminal() { Raw::enter()? } else { None };
    let session = Session { stdin, stdout: true, stderr: false, tty: true, detach: keys.bytes };
    let main = async {
        let ended = session.run(hijacked).await;
        drop(raw);
        match ended {
            Ok(Ended::Detached | Ended::Output) => Ok(0),
            Err(error) => Err(Failure::from(error)),
        }
    };
    tokio::select! {
        outcome = main => outcome,
        () = leave_on_signal() => Ok(0),
    }
}
