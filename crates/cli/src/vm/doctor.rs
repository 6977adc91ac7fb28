//! `berth vm doctor`.

use crate::call::{Call, Outcome};
use crate::format::{Column, List, Row, row};
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};
use serde_json::Value;

static FLAGS: &[Flag] = &[format_flag::TABLE];

/// `berth vm doctor`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS]",
    "Tell what the daemon's host has for virtual machines, and what to change",
    Arity::None,
    |call| Box::pin(doctor(call)),
)
.with(&[FLAGS]);

const COLUMNS: &[Column] = &[("What", "WHAT"), ("Verdict", "VERDICT"), ("Found", "FOUND"), ("Advice", "ADVICE")];
const TABLE_KEYS: [&str; 4] = ["What", "Verdict", "Found", "Advice"];
const TABLE: &[&str] = &TABLE_KEYS;

async fn doctor(call: Call) -> Outcome {
    let findings = call.client()?.examine_host().await?;
    let findings = findings.as_array().map(Vec::as_slice).unwrap_or_default();
    List { columns: COLUMNS, table: TABLE, kind: "doctorContext" }
        .print(call.flags.text("format"), &findings.iter().map(finding).collect::<Vec<Row>>())?;
    // A script asks whether machines can run at all.
    Ok(u8::from(findings.iter().any(|finding| finding["Verdict"] == "bad")))
}

fn finding(finding: &Value) -> Row {
    row(TABLE_KEYS.map(|key| (key, finding[key].clone())))
}
