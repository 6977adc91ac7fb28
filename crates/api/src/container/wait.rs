//! `POST /containers/{id}/wait`: headers at once, so that the client knows the wait is registered; the body later.

use std::{convert::Infallible, sync::Arc};

use axum::extract::State;
use berth_container::WaitCondition;
use futures_util::{FutureExt, stream::once};
use serde_json::json;

use crate::{Engine, Error, Result, failure::Answer, name::Name, query::Query, stream};

pub async fn wait(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    let waiting = engine.containers.wait(&id, condition(&query)?).await?;
    let outcome = waiting.finish().map(|outcome| {
        Ok::<_, Infallible>(match outcome.error {
            None => json!({ "StatusCode": outcome.code }),
            Some(message) => json!({ "StatusCode": outcome.code, "Error": { "Message": message } }),
        })
    });
    Ok(stream::documents(once(outcome)))
}

fn condition(query: &Query) -> Result<WaitCondition> {
    match query.get("condition").unwrap_or("not-running") {
        "not-running" => Ok(WaitCondition::NotRunning),
        "next-exit" => Ok(WaitCondition::NextExit),
        "removed" => Ok(WaitCondition::Removed),
        other => Err(Error::Invalid(format!("invalid condition: {other:?}"))),
    }
}
