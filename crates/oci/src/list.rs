//! `list`: all containers of this `--root`.

use serde_json::Value;

use crate::error::Result;
use crate::grammar::{Call, Command, switch, value};
use crate::record::Status;
use crate::state;
use crate::store::Store;

/// See the module.
pub static COMMAND: Command = Command {
    name: "list",
    arguments: "",
    about: "list containers",
    flags: &[value("format", "f", "table or json (default: table)"), switch("quiet", "q", "ids only")],
    arity: (0, 0),
    run: list,
};

fn list(call: &Call) -> Result<u8> {
    let all = Store::new(&call.global.root).all()?;
    if call.has("quiet") {
        all.iter().for_each(|(_, record)| println!("{}", record.id));
        return Ok(0);
    }
    if call.text("format") == Some("json") {
        let states: Vec<Value> = all.iter().map(|(place, record)| state::shown(place, record)).collect();
        println!("{}", Value::from(states));
        return Ok(0);
    }
    let width = all.iter().map(|(_, record)| record.id.len()).max().unwrap_or(0).max(10);
    println!("{:width$}  {:10}  {:11}  {:30}  {:31}  OWNER", "ID", "PID", "STATUS", "BUNDLE", "CREATED");
    for (place, record) in &all {
        let status = record.status(place);
        let pid = if status == Status::Stopped { 0 } else { record.pid };
        let (bundle, created) = (record.bundle.display().to_string(), record.created.to_string());
        println!("{:width$}  {pid:<10}  {:11}  {bundle:30}  {created:31}  {}", record.id, status.word(), record.owner);
    }
    Ok(0)
}
