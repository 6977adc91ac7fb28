//! `berth import`.

use super::name;
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::{progress, text};
use berth_client::Body;

static FLAGS: &[Flag] = &[
    Flag::list("change", "Apply Dockerfile instruction to the created image").short('c'),
    Flag::text("message", "Set commit message for imported image").short('m'),
    Flag::text("platform", "Set platform if server is multi-platform capable"),
];

/// `berth import`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Import the contents from a tarball to create a filesystem image",
    Arity::Between(1, 2),
    |call| Box::pin(import(call)),
)
.with(&[FLAGS])
.at(&["image import", "import"]);

async fn import(call: Call) -> Outcome {
    let (repo, tag) = match call.args.get(1).filter(|name| !name.is_empty()) {
        Some(reference) => name::split(reference).map_err(Failure::new)?,
        None => (String::new(), String::new()),
    };
    let source = call.args[0].as_str();
    let (from, body) = match source {
        "-" => ("-", Body::reader(std::io::stdin())),
        url if url.starts_with("http://") || url.starts_with("https://") => (url, Body::empty()),
        path => {
            let file = std::fs::File::open(path).map_err(|e| Failure::new(format!("open {path}: {}", text::os(&e))))?;
            let total = file.metadata().map(|m| m.len()).unwrap_or(0);
            ("-", Body::reader(progress::Reading::new(file, total, "Importing")))
        }
    };
    let (message, platform) = (call.flags.text("message"), call.flags.text("platform"));
    let changes = call.flags.strings("change");
    let stream = call.client()?.import(from, body, (&repo, &tag), message, &changes, platform).await?;
    progress::show(stream, false).await?;
    Ok(0)
}
