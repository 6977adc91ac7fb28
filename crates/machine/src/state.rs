//! The memory and devices of a running machine, to a file and back: QEMU's migration stream (docs/devel/migration.rst).

use std::{path::Path, time::Duration};

use serde_json::json;

use crate::keeper::client::{Keeper, Outcome};

/// How often the monitor is asked how far it is.
const PERIOD: Duration = Duration::from_millis(20);
/// As fast as the disk takes it, in bytes a second.
const BANDWIDTH: u64 = 1 << 40;
/// What a monitor knows the file by.
const NAME: &str = "state";

/// Writes the state of a machine, which stands still, into a new file.
///
/// # Errors
/// The monitor's own words; the machine stands still then, too.
pub async fn save(keeper: &Keeper, file: &Path, limit: Duration) -> Outcome<()> {
    keeper.hand_over(NAME, file).await?;
    keeper.execute("migrate-set-parameters", json!({"max-bandwidth": BANDWIDTH})).await?;
    keeper.execute("migrate", json!({"uri": format!("fd:{NAME}")})).await?;
    let done = async {
        loop {
            let answer = keeper.execute("query-migrate", json!({})).await?;
            match answer["status"].as_str().unwrap_or_default() {
                "completed" => return Ok(()),
                "failed" | "cancelled" => {
                    let why = answer["error-desc"].as_str().unwrap_or("the monitor gave no reason");
                    return Err(format!("its state cannot be saved: {why}"));
                }
                _ => tokio::time::sleep(PERIOD).await,
            }
        }
    };
    match tokio::time::timeout(limit, done).await {
        Ok(outcome) => outcome,
        Err(_) => {
            // Whoever waits no longer wants it no longer.
            let _ = keeper.execute("migrate_cancel", json!({})).await;
            Err(format!("its state was not saved within {} s", limit.as_secs()))
        }
    }
}

/// Waits until a monitor has read the state that it goes on from.
///
/// # Errors
/// The monitor is gone, or takes too long.
pub async fn incoming(keeper: &Keeper, limit: Duration) -> Outcome<()> {
    let read = async {
        loop {
            let answer = keeper.execute("query-status", json!({})).await?;
            if answer["status"] != "inmigrate" {
                return Ok(());
            }
            tokio::time::sleep(PERIOD).await;
        }
    };
    match tokio::time::timeout(limit, read).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("its state was not read within {} s", limit.as_secs())),
    }
}
