//! `ps`: the processes of a container.

use std::process::Command as Program;

use serde_json::json;

use crate::error::{Error, Result};
use crate::grammar::{Call, Command, value};
use crate::store::Store;

/// See the module.
pub static COMMAND: Command = Command {
    name: "ps",
    arguments: "ID [PS-ARGUMENT...]",
    about: "list the processes of a container",
    flags: &[value("format", "f", "table or json (default: table)")],
    arity: (1, usize::MAX),
    run: ps,
};

fn ps(call: &Call) -> Result<u8> {
    let (_, record) = Store::new(&call.global.root).find(call.id())?;
    let pids = record.cgroup().map(|cgroup| cgroup.pids()).transpose()?.unwrap_or_default();
    if call.text("format") == Some("json") {
        println!("{}", json!(pids));
        return Ok(0);
    }
    let mut program = Program::new("ps");
    match &call.arguments[1..] {
        [] => program.arg("-ef"),
        given => program.args(given),
    };
    let output = program.output().map_err(Error::process("run ps"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{}", rows(&text, &pids)?);
    Ok(0)
}

/// The head and the lines of these processes.
fn rows(text: &str, pids: &[i32]) -> Result<String> {
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|word| word == "PID");
    let column = column.ok_or_else(|| Error::Usage(String::from("ps shows no PID column with these arguments")))?;
    let of = |line: &str| line.split_whitespace().nth(column)?.parse::<i32>().ok();
    let mine = lines.filter(|line| of(line).is_some_and(|pid| pids.contains(&pid)));
    Ok(std::iter::once(head).chain(mine).map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn only_the_containers_lines_stay() {
        let text = "UID PID CMD\nroot 1 init\nroot 22 sleep 1\nroot 222 sleep 22\n";
        assert_eq!(rows(text, &[22]).expect("rows"), "UID PID CMD\nroot 22 sleep 1\n");
        assert!(rows("CMD\n", &[1]).is_err());
    }
}
