//! `berth volume rename`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command};

/// `berth volume rename`.
pub static COMMAND: Command =
    Command::verb("VOLUME NEW_NAME", "Rename a volume that no container uses", Arity::Exactly(2), |call| {
        Box::pin(rename(call))
    });

async fn rename(call: Call) -> Outcome {
    call.client()?.rename_volume(&call.args[0], &call.args[1]).await?;
    crate::say!("{}", call.args[1])?;
    Ok(0)
}
