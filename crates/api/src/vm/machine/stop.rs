//! `POST /vm/machines/{name}/stop` and `POST /vm/machines/{name}/reboot`

use std::{sync::Arc, time::Duration};

use axum::extract::State;
use berth_machine::Stop;

use super::whole;
use crate::{Engine, Result, failure::Answer, name::Name, query::Query, stream};

/// Longer than a day nobody waits for a guest.
const TIMEOUT_S_MAX: u64 = 86_400;

pub async fn stop(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    let how = wanted(&query)?;
    whole(async move { engine.machines.stop(&name, how).await }).await?;
    stream::done()
}

pub async fn reboot(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    let (how, hard) = (wanted(&query)?, query.flag("hard")?);
    whole(async move {
        match hard {
            true => engine.machines.reset(&name).await,
            false => engine.machines.reboot(&name, how).await,
        }
    })
    .await?;
    stream::done()
}

fn wanted(query: &Query) -> Result<Stop> {
    let usual = Stop::default();
    let timeout = query.number::<u64>("t")?.map(|seconds| Duration::from_secs(seconds.min(TIMEOUT_S_MAX)));
    Ok(Stop { timeout: timeout.unwrap_or(usual.timeout), force: query.flag("force")? })
}
