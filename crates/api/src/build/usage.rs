//! The build cache in `GET /system/df`.

use berth_build::Entry;
use berth_kit::time::format_nano;
use serde_json::{Value, json};

use crate::{Engine, failure::Failure};

/// The entries, as Docker lists them.
pub async fn records(engine: &Engine) -> Result<Vec<Value>, Failure> {
    Ok(engine.builder.usage().await?.iter().map(|(entry, bytes)| record(entry, *bytes)).collect())
}

fn record(entry: &Entry, bytes: u64) -> Value {
    json!({
        "ID": entry.key,
        "Parents": entry.parent.iter().collect::<Vec<_>>(),
        "Type": entry.kind,
        "Description": entry.text,
        "InUse": false,
        "Shared": false,
        "Size": bytes,
        "CreatedAt": format_nano(entry.created),
        "LastUsedAt": format_nano(entry.last_used),
        "UsageCount": entry.uses,
    })
}
