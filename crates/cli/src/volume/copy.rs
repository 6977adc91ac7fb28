//! `berth volume clone` and `berth volume snapshot`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::option::label::{self, check_label};
use serde_json::json;

static FLAGS: &[Flag] = &[Flag::list("label", "Set metadata for the copy").check(check_label)];

/// `berth volume clone`.
pub static CLONE: Command = Command::verb(
    "[OPTIONS] VOLUME NAME",
    "Copy a volume to a new one; bytes are shared where the file system can do that",
    Arity::Exactly(2),
    |call| Box::pin(copy(call, false)),
)
.with(&[FLAGS]);

/// `berth volume snapshot`.
pub static SNAPSHOT: Command = Command::verb(
    "[OPTIONS] VOLUME [NAME]",
    "Keep the present state of a volume as a read-only one",
    Arity::Between(1, 2),
    |call| Box::pin(copy(call, true)),
)
.with(&[FLAGS]);

async fn copy(call: Call, read_only: bool) -> Outcome {
    let name = call.args.get(1).map(String::as_str).unwrap_or_default();
    let body = json!({"Labels": label::object(call.flags.list("label"))});
    let copied = call.client()?.copy_volume(&call.args[0], name, read_only, &body).await?;
    crate::say!("{}", copied.name)?;
    Ok(0)
}
