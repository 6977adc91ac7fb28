//! `berth vm export-xml`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command};

/// `berth vm export-xml`.
pub static COMMAND: Command =
    Command::verb("MACHINE", "Write a virtual machine as a libvirt domain to STDOUT", Arity::Exactly(1), |call| {
        Box::pin(export(call))
    });

async fn export(call: Call) -> Outcome {
    crate::put!("{}", call.client()?.machine_xml(&call.args[0]).await?)?;
    Ok(0)
}
