//! `berth volume import`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command};
use crate::text;
use berth_client::Body;

/// `berth volume import`.
pub static COMMAND: Command = Command::verb(
    "VOLUME [FILE|-]",
    "Unpack a tar archive, compressed or not, into a volume",
    Arity::Between(1, 2),
    |call| Box::pin(import(call)),
);

async fn import(call: Call) -> Outcome {
    let body = match call.args.get(1).map_or("-", String::as_str) {
        "-" => Body::reader(std::io::stdin()),
        path => {
            let file = std::fs::File::open(path).map_err(|e| Failure::new(format!("open {path}: {}", text::os(&e))))?;
            Body::reader(file)
        }
    };
    call.client()?.import_volume(&call.args[0], body).await?;
    Ok(0)
}
