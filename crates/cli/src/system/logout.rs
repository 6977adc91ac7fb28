//! `berth logout`.

use crate::call::{Call, Outcome};
use crate::credential;
use crate::grammar::{Arity, Command};

/// `berth logout`.
pub static COMMAND: Command =
    Command::verb("[SERVER]", "Log out from a registry", Arity::AtMost(1), |call| Box::pin(logout(call)))
        .at(&["logout"]);

async fn logout(call: Call) -> Outcome {
    let key = credential::key(call.args.first().map_or("", String::as_str));
    crate::say!("Removing login credentials for {key}")?;
    credential::erase(&call.config, &key)?;
    Ok(0)
}
