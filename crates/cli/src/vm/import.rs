//! `berth vm import`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::text;
use berth_client::Body;
use std::io::IsTerminal;

static FLAGS: &[Flag] = &[
    Flag::text("input", "Read from a tar archive, instead of STDIN").short('i'),
    Flag::text("name", "Give the machine this name, instead of its own"),
];

/// `berth vm import`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS]",
    "Make a virtual machine of an archive that \"berth vm export\" wrote",
    Arity::None,
    |call| Box::pin(import(call)),
)
.with(&[FLAGS]);

async fn import(call: Call) -> Outcome {
    let body = match call.flags.text("input") {
        "" if std::io::stdin().is_terminal() => {
            return Err(Failure::new("there is no archive: name a file with --input, or redirect STDIN"));
        }
        "" => Body::reader(std::io::stdin()),
        path => {
            Body::reader(std::fs::File::open(path).map_err(|e| Failure::new(format!("open {path}: {}", text::os(&e))))?)
        }
    };
    let made = call.client()?.import_machine(body, call.flags.text("name")).await?;
    crate::say!("{}", made["Name"].as_str().unwrap_or_default())?;
    Ok(0)
}
