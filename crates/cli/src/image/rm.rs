//! `berth rmi`, also `image rm`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[
    Flag::switch("force", "Force removal of the image").short('f'),
    Flag::switch("no-prune", "Do not delete untagged parents"),
    Flag::list(
        "platform",
        "Remove only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    )
    .value("strings"),
];

/// `berth rmi`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] IMAGE [IMAGE...]", "Remove one or more images", Arity::AtLeast(1), |call| {
        Box::pin(rm(call))
    })
    .with(&[FLAGS])
    .at(&["image rm", "image remove", "rmi"]);

async fn rm(call: Call) -> Outcome {
    let (client, force) = (call.client()?, call.flags.on("force"));
    let mut errors = Vec::new();
    let mut missing_only = true;
    for name in &call.args {
        match client.remove_image(name, force, call.flags.on("no-prune"), &call.flags.strings("platform")).await {
            Ok(rows) => {
                for row in rows {
                    match row.deleted.is_empty() {
                        false => crate::say!("Deleted: {}", row.deleted)?,
                        true => crate::say!("Untagged: {}", row.untagged)?,
                    }
                }
            }
            Err(e) => {
                missing_only &= e.is_not_found();
                errors.push(e.to_string());
            }
        }
    }
    match errors.is_empty() {
        true => Ok(0),
        // Forced removal of what is not there has done its work.
        false if force && missing_only => {
            crate::complain!("{}", errors.join("\n"));
            Ok(0)
        }
        false => Err(Failure::new(errors.join("\n"))),
    }
}
