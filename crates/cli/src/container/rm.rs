//! `berth rm`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[
    Flag::switch("force", "Force the removal of a running container (uses SIGKILL)").short('f'),
    Flag::switch("link", "Remove the specified link").short('l'),
    Flag::switch("volumes", "Remove anonymous volumes associated with the container").short('v'),
];

/// `berth rm`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] CONTAINER [CONTAINER...]", "Remove one or more containers", Arity::AtLeast(1), |call| {
        Box::pin(rm(call))
    })
    .with(&[FLAGS])
    .at(&["container rm", "container remove", "rm"]);

async fn rm(call: Call) -> Outcome {
    let client = call.client()?;
    let (force, volumes, link) = (call.flags.on("force"), call.flags.on("volumes"), call.flags.on("link"));
    if call.args.iter().any(|name| name.trim_matches('/').is_empty()) {
        return Err(Failure::new("Container name cannot be empty"));
    }
    let mut failed = false;
    let removing = call.args.iter().map(|name| client.remove(name, force, volumes, link));
    for (name, result) in call.args.iter().zip(futures_util::future::join_all(removing).await) {
        match result {
            Ok(()) => crate::say!("{name}")?,
            Err(e) => {
                // Forced removal of what is not there has done its work.
                failed |= !(force && e.is_not_found());
                crate::complain!("{e}");
            }
        }
    }
    if failed { Err(Failure::silent(1)) } else { Ok(0) }
}
