//! `berth top`.

use crate::call::{Call, Outcome};
use crate::format::table;
use crate::grammar::{Arity, Command};

/// `berth top`.
pub static COMMAND: Command = Command::verb(
    "CONTAINER [ps OPTIONS]",
    "Display the running processes of a container",
    Arity::AtLeast(1),
    |call| Box::pin(top(call)),
)
.at(&["container top", "top"])
.flags_first();

async fn top(call: Call) -> Outcome {
    let top = call.client()?.top(&call.args[0], &call.args[1..].join(" ")).await?;
    let mut lines = top.titles.join("\t");
    lines.push('\n');
    for process in &top.processes {
        lines.push_str(&process.join("\t"));
        lines.push('\n');
    }
    crate::put!("{}", table::align_wide(&lines))?;
    Ok(0)
}
