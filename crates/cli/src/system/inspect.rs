//! `berth inspect`: any object, by name or identifier.

use crate::call::{Call, Failure, Outcome};
use crate::format::indent;
use crate::format::template::{Error, Template};
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};
use berth_client::request::segment;
use berth_client::{Client, Request};
use serde_json::Value;

static FLAGS: &[Flag] = &[
    format_flag::PLAIN.short('f'),
    Flag::switch("size", "Display total file sizes if the type is container").short('s'),
    Flag::text("type", "Only inspect objects of the given type"),
];

/// `berth inspect`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on berth objects",
    Arity::AtLeast(1),
    |call| Box::pin(inspect(call)),
)
.with(&[FLAGS]);

/// What can be inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A virtual machine of its own.
    Machine,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

const ALL: &[Kind] = &[Kind::Container, Kind::Image, Kind::Network, Kind::Volume];

async fn inspect(call: Call) -> Outcome {
    let kinds = match call.flags.text("type") {
        "" if call.flags.given("type") => {
            return Err(Failure::new(
                "type is empty: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"",
            ));
        }
        "" => ALL,
        "container" => &[Kind::Container],
        "image" => &[Kind::Image],
        "network" => &[Kind::Network],
        "volume" => &[Kind::Volume],
        other => {
            return Err(Failure::new(format!(
                "unknown type: {other:?}: must be one of \"container\", \"image\", \"network\", \"volume\""
            )));
        }
    };
    objects(&call, kinds).await
}

/// Prints the objects named by the arguments; each is the first of `kinds` that knows its name.
///
/// # Errors
/// A name that none knows, after the others were printed.
pub async fn objects(call: &Call, kinds: &[Kind]) -> Outcome {
    let client = call.client()?;
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for name in &call.args {
        match object(client, call, kinds, name).await {
            Ok(json) => found.push(json),
            Err(error) => errors.push(error.text),
        }
    }
    let format = call.flags.text("format");
    let printed = print(format, &found);
    match printed {
        Err(failure) => Err(failure),
        Ok(()) if errors.is_empty() => Ok(0),
        Ok(()) => Err(Failure::new(errors.join("\n"))),
    }
}

fn print(format: &str, found: &[String]) -> Result<(), Failure> {
    if format.is_empty() {
        crate::say!("{}", indent::pretty(&format!("[{}]", found.join(","))))?;
        return Ok(());
    }
    if format == "json" {
        crate::say!("[{}]", found.join(","))?;
        return Ok(());
    }
    let source = format;
    let refuse = |e: &dyn std::fmt::Display| Failure { text: format!("template parsing error: {e}"), code: 64 };
    let template = Template::new(source).map_err(|e| match e {
        Error::Parse(text) => refuse(&text),
        other => refuse(&other),
    })?;
    if found.is_empty() {
        crate::say!()?;
    }
    for json in found {
        let value: Value = serde_json::from_str(json).map_err(|e| Failure::new(e.to_string()))?;
        let text = template.run(&value).inspect_err(|_| drop(crate::say!())).map_err(|e| Failure {
            code: 1,
            ..match e {
                Error::Missing(key) => refuse(&format!(
                    "template: {}: map has no entry for key {key:?}",
                    crate::format::template::place(source, &key)
                )),
                other => refuse(&other),
            }
        })?;
        crate::say!("{text}")?;
    }
    Ok(())
}

async fn object(client: &Client, call: &Call, kinds: &[Kind], name: &str) -> Result<String, Failure> {
    for kind in kinds {
        match client.bytes(request(call, *kind, name)).await {
            Ok(bytes) => return Ok(String::from_utf8_lossy(&bytes).trim().to_owned()),
            Err(e) if kinds.len() > 1 && is_other(&e) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(Failure::new(format!("Error: No such object: {name}")))
}

/// Not there, or nothing that a daemon of this kind can have.
fn is_other(error: &berth_client::Error) -> bool {
    error.is_not_found() || matches!(error, berth_client::Error::Status { code: 400 | 501, .. })
}

fn request(call: &Call, kind: Kind, name: &str) -> Request {
    let name = segment(name);
    match kind {
        Kind::Container => Request::get(format!("/containers/{name}/json")).on("size", call.flags.on("size")),
        Kind::Image => Request::get(format!("/images/{name}/json"))
            .text("platform", &berth_client::image::platform_json(call.flags.text("platform"))),
        Kind::Machine => Request::get(format!("/vm/machines/{name}")),
        Kind::Network => Request::get(format!("/networks/{name}")),
        Kind::Volume => Request::get(format!("/volumes/{name}")),
    }
}
