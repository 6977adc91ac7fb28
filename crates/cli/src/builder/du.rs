//! `berth builder du`.

use berth_client::Request;
use serde_json::Value;

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command};
use crate::text;

/// `berth builder du`.
pub static COMMAND: Command =
    Command::verb("", "Disk usage of the build cache", Arity::None, |call| Box::pin(du(call)));

async fn du(call: Call) -> Outcome {
    let request = Request::get("/system/df").text("type", "build-cache").text("verbose", "1");
    let answer: Value = call.client()?.json(request).await?;
    let list = answer["BuildCache"].as_array().or_else(|| answer["BuildCacheUsage"]["Items"].as_array());
    let mut total = 0;
    crate::say!("{:<14}{:<12}{:<8}DESCRIPTION", "ID", "SIZE", "USES")?;
    for entry in list.into_iter().flatten() {
        let bytes = entry["Size"].as_u64().unwrap_or(0);
        total += bytes;
        let id: String = entry["ID"].as_str().unwrap_or_default().chars().take(12).collect();
        let about = text::ellipsis(entry["Description"].as_str().unwrap_or_default(), 60);
        crate::say!("{id:<14}{:<12}{:<8}{about}", text::space(bytes), entry["UsageCount"].as_u64().unwrap_or(0))?;
    }
    crate::say!("Total:\t{}", text::space(total))?;
    Ok(0)
}
