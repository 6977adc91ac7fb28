//! `berth vm import-xml`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::text;
use std::io::Read;

/// A domain is never so long.
const BYTES_MAX: u64 = 4 << 20;

static FLAGS: &[Flag] = &[
    Flag::text("name", "Give the machine this name, instead of the domain's"),
    Flag::switch("strict", "Refuse a domain with elements that mean nothing here, instead of naming them"),
];

/// `berth vm import-xml`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] FILE|-",
    "Make a virtual machine of a libvirt domain; its disks stay where they are",
    Arity::Exactly(1),
    |call| Box::pin(import(call)),
)
.with(&[FLAGS]);

async fn import(call: Call) -> Outcome {
    let path = &call.args[0];
    let mut bytes = Vec::new();
    let read = match path.as_str() {
        "-" => std::io::stdin().take(BYTES_MAX).read_to_end(&mut bytes),
        path => std::fs::File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes)),
    };
    read.map_err(|e| Failure::new(format!("read {path}: {}", text::os(&e))))?;
    let made = call.client()?.import_machine_xml(bytes, call.flags.text("name"), call.flags.on("strict")).await?;
    for unknown in made["Unknown"].as_array().into_iter().flatten() {
        crate::complain!("not taken over: {}", unknown.as_str().unwrap_or_default());
    }
    crate::say!("{}", made["Name"].as_str().unwrap_or_default())?;
    Ok(0)
}
