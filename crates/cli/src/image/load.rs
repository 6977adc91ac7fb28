//! `berth load`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::{progress, text};
use berth_client::Body;
use std::io::IsTerminal;

static FLAGS: &[Flag] = &[
    Flag::text("input", "Read from tar archive file, instead of STDIN").short('i'),
    Flag::list(
        "platform",
        "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    )
    .value("strings"),
    Flag::switch("quiet", "Suppress the load output").short('q'),
];

/// `berth load`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "Load an image from a tar archive or STDIN", Arity::None, |call| Box::pin(load(call)))
        .with(&[FLAGS])
        .at(&["image load", "load"]);

async fn load(call: Call) -> Outcome {
    let path = call.flags.text("input");
    let quiet = call.flags.on("quiet") || !std::io::stdout().is_terminal();
    let body = match path {
        "" if std::io::stdin().is_terminal() => {
            return Err(Failure::new("requested load from stdin, but stdin is empty"));
        }
        "" => Body::reader(std::io::stdin()),
        path => {
            let file = std::fs::File::open(path).map_err(|e| Failure::new(format!("open {path}: {}", text::os(&e))))?;
            let total = file.metadata().map(|m| m.len()).unwrap_or(0);
            Body::reader(progress::Reading::new(file, total, "Loading"))
        }
    };
    let stream = call.client()?.load(body, quiet, &call.flags.strings("platform")).await?;
    progress::show(stream, false).await?;
    Ok(0)
}
