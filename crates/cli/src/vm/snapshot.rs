//! `berth vm snapshot`.

use crate::call::{Call, Failure, Outcome};
use crate::format::{Column, List, row};
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[format_flag::TABLE, Flag::switch("remove", "Remove the snapshot instead of taking it")];

/// `berth vm snapshot`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE [SNAPSHOT]",
    "Take a snapshot of a virtual machine, with its memory when it runs; list them without a name",
    Arity::Between(1, 2),
    |call| Box::pin(snapshot(call)),
)
.with(&[FLAGS]);

const COLUMNS: &[Column] = &[("Name", "NAME"), ("TakenAt", "TAKEN AT"), ("Live", "LIVE")];
const KEYS: [&str; 3] = ["Name", "TakenAt", "Live"];
const TABLE: &[&str] = &KEYS;

async fn snapshot(call: Call) -> Outcome {
    let (client, machine) = (call.client()?, &call.args[0]);
    match (call.args.get(1), call.flags.on("remove")) {
        (None, true) => return Err(Failure::new("--remove needs the name of a snapshot")),
        (None, false) => {
            let taken = client.snapshots(machine).await?;
            let rows: Vec<_> = taken.iter().map(|one| row(KEYS.map(|key| (key, one[key].clone())))).collect();
            List { columns: COLUMNS, table: TABLE, kind: "snapshotContext" }.print(call.flags.text("format"), &rows)?;
            return Ok(0);
        }
        (Some(name), true) => client.remove_snapshot(machine, name).await?,
        (Some(name), false) => client.snapshot(machine, name).await?,
    }
    crate::say!("{}", call.args[1])?;
    Ok(0)
}
