//! `berth volume update`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};
use serde_json::json;

static FLAGS: &[Flag] = &[Flag::text("availability", "Cluster Volume availability (\"active\", \"pause\", \"drain\")")];

/// `berth volume update`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] VOLUME", "Update a volume (cluster volumes only)", Arity::Exactly(1), |call| {
        Box::pin(update(call))
    })
    .with(&[FLAGS]);

async fn update(call: Call) -> Outcome {
    let body = json!({"Spec": {"Availability": call.flags.text("availability")}});
    call.client()?.update_volume(&call.args[0], &body).await?;
    Ok(0)
}
