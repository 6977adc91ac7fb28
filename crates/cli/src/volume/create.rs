//! `berth volume create`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::option::label::{self, check_label};
use serde_json::json;

static FLAGS: &[Flag] = &[
    Flag::text("driver", "Specify volume driver name").short('d').default("local"),
    Flag::list("label", "Set metadata for a volume").check(check_label),
    Flag::text("name", "Specify volume name").hidden(),
    Flag::map("opt", "Set driver specific options").short('o'),
];

/// `berth volume create`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] [VOLUME]", "Create a volume", Arity::AtMost(1), |call| Box::pin(create(call)))
        .with(&[FLAGS]);

async fn create(call: Call) -> Outcome {
    let flags = &call.flags;
    let name = match call.args.first() {
        Some(_) if flags.given("name") => {
            return Err(Failure::new(
                "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
            ));
        }
        Some(name) => name,
        None => flags.text("name"),
    };
    let body = json!({
        "Name": name,
        "Driver": flags.text("driver"),
        "DriverOpts": label::object(flags.list("opt")),
        "Labels": label::object(flags.list("label")),
    });
    let created = call.client()?.create_volume(&body).await?;
    crate::say!("{}", created.name)?;
    Ok(0)
}
