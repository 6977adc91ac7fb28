//! `berth vm set`.

use super::edit::told;
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use serde_json::{Value, json};

static FLAGS: &[Flag] = &[
    Flag::bytes("balloon", "What the balloon leaves to the guest of its memory; 0 for all. Moves at once"),
    Flag::text("cpu", "Model of the processor (\"host\", \"max\", or a name with features: \"EPYC,+svm\")"),
    Flag::bytes("memory", "Memory").short('m'),
    Flag::int("vcpus", "Processors"),
];

/// `berth vm set`.
pub static COMMAND: Command = Command::verb(
    "OPTIONS MACHINE",
    "Change processors, memory and balloon of a virtual machine",
    Arity::Exactly(1),
    |call| Box::pin(set(call)),
)
.with(&[FLAGS]);

async fn set(call: Call) -> Outcome {
    let flags = &call.flags;
    let mut body = json!({});
    let mut put = |key: &str, flag: &str, value: Value| {
        if flags.given(flag) {
            body[key] = value;
        }
    };
    put("balloon_bytes", "balloon", flags.bytes("balloon").into());
    put("memory_bytes", "memory", flags.bytes("memory").into());
    put("vcpus", "vcpus", flags.int("vcpus").into());
    put("cpu", "cpu", flags.text("cpu").into());
    if body.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(Failure::new("you must provide one or more flags when using this command"));
    }
    let name = &call.args[0];
    told(name, call.client()?.set_machine(name, &body).await?)
}
