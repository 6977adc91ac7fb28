//! `berth builder history`: builds of the past.

use berth_client::Request;
use serde_json::Value;

use crate::build::{Mode, Progress};
use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Entry};
use crate::text;

/// `berth builder history`.
pub static GROUP: Command = Command::group("Look at builds of the past", ENTRIES);

static ENTRIES: &[Entry] =
    &[Entry::new("inspect", &INSPECT), Entry::new("logs", &LOGS), Entry::new("ls", &LIST), Entry::new("rm", &REMOVE)];

static LIST: Command = Command::verb("", "List builds", Arity::None, |call| Box::pin(list(call)));
static LOGS: Command =
    Command::verb("[BUILD]", "Print what a build said", Arity::AtLeast(0), |call| Box::pin(logs(call)));
static INSPECT: Command =
    Command::verb("[BUILD]", "Show all that is known of a build", Arity::AtLeast(0), |call| Box::pin(inspect(call)));
static REMOVE: Command =
    Command::verb("BUILD [BUILD...]", "Forget builds", Arity::AtLeast(1), |call| Box::pin(remove(call)));

fn path(reference: Option<&String>, rest: &str) -> String {
    let reference = reference.map_or("last", String::as_str);
    format!("/berth/build/history/{}{rest}", berth_client::segment(reference))
}

async fn list(call: Call) -> Outcome {
    let all: Vec<Value> = call.client()?.json(Request::get("/berth/build/history")).await?;
    crate::say!("{:<14}{:<32}{:<12}{:<10}CREATED", "BUILD ID", "NAME", "STATUS", "CACHED")?;
    for build in &all {
        let word = |name: &str| build[name].as_str().unwrap_or_default().to_owned();
        let status = match (build["error"].is_string(), build["completed"].is_string()) {
            (true, _) => "Error",
            (false, true) => "Completed",
            (false, false) => "Running",
        };
        let id: String = word("reference").chars().take(12).collect();
        let cached = format!("{}/{}", build["cached"], build["steps"]);
        let name = text::ellipsis(&word("name"), 30);
        crate::say!("{id:<14}{name:<32}{status:<12}{cached:<10}{}", word("created"))?;
    }
    Ok(0)
}

async fn logs(call: Call) -> Outcome {
    let mut documents = call.client()?.stream(Request::get(path(call.args.first(), "/logs"))).await?.documents();
    let mut progress = Progress::new(Mode::Plain, false);
    while let Some(event) = documents.next::<Value>().await? {
        progress.show(&event)?;
    }
    Ok(0)
}

async fn inspect(call: Call) -> Outcome {
    let build: Value = call.client()?.json(Request::get(path(call.args.first(), ""))).await?;
    crate::say!("{build:#}")?;
    Ok(0)
}

async fn remove(call: Call) -> Outcome {
    for reference in &call.args {
        call.client()?.done(Request::delete(path(Some(reference), ""))).await?;
        crate::say!("{reference}")?;
    }
    Ok(0)
}
