//! `berth manifest rm`.

use super::{canonical, parse, store};
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command};

/// `berth manifest rm`.
pub static COMMAND: Command = Command::verb(
    "MANIFEST_LIST [MANIFEST_LIST...]",
    "Delete one or more manifest lists from local storage",
    Arity::AtLeast(1),
    |call| Box::pin(rm(call)),
)
.at(&["manifest rm"]);

async fn rm(call: Call) -> Outcome {
    let mut has_failed = false;
    for name in &call.args {
        let list = parse(name)?;
        if !store::remove(&call.config, &list)? {
            crate::complain!("No such manifest: {}", canonical(&list));
            has_failed = true;
        }
    }
    if has_failed { Err(Failure::silent(1)) } else { Ok(0) }
}
