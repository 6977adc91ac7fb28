//! `berth vm ls`.

use crate::call::{Call, Outcome};
use crate::format::{Column, List, Row, row};
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};
use crate::text;
use serde_json::Value;

static FLAGS: &[Flag] = &[format_flag::TABLE, Flag::switch("quiet", "Only display names").short('q')];

/// `berth vm ls`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "List virtual machines", Arity::None, |call| Box::pin(ls(call)))
        .with(&[FLAGS])
        .at(&["vm ls", "vm list"]);

const COLUMNS: &[Column] = &[
    ("Name", "NAME"),
    ("Status", "STATUS"),
    ("Vcpus", "VCPUS"),
    ("Memory", "MEMORY"),
    ("Networks", "NETWORKS"),
    ("Autostart", "AUTOSTART"),
    ("Disks", "DISKS"),
    ("StartedAt", "STARTED AT"),
    ("Uuid", "UUID"),
];
const TABLE: &[&str] = &["Name", "Status", "Vcpus", "Memory", "Networks", "Autostart"];

async fn ls(call: Call) -> Outcome {
    let machines = call.client()?.machines().await?;
    if call.flags.on("quiet") && !call.flags.given("format") {
        for machine in &machines {
            crate::say!("{}", machine["Name"].as_str().unwrap_or_default())?;
        }
        return Ok(0);
    }
    let rows: Vec<_> = machines.iter().map(fields).collect();
    List { columns: COLUMNS, table: TABLE, kind: "machineContext" }.print(call.flags.text("format"), &rows)?;
    Ok(0)
}

fn fields(machine: &Value) -> Row {
    let networks: Vec<&str> = machine["Networks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    row([
        ("Name", machine["Name"].clone()),
        ("Status", machine["Status"].clone()),
        ("Vcpus", machine["Vcpus"].clone()),
        ("Memory", text::space(machine["MemoryBytes"].as_u64().unwrap_or(0)).into()),
        ("Networks", networks.join(",").into()),
        ("Autostart", machine["Autostart"].clone()),
        ("Disks", machine["Disks"].clone()),
        ("StartedAt", machine["StartedAt"].clone()),
        ("Uuid", machine["Uuid"].clone()),
    ])
}
