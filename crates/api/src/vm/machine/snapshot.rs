//! `/vm/machines/{name}/snapshots`: list, take, restore, remove.

use std::sync::Arc;

use axum::extract::{Path, State};

use crate::{Engine, Error, failure::Answer, name::Name, query::Query, stream};

type Both = Path<(String, String)>;

pub async fn list(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    stream::json(&engine.machines.snapshots(&name).await?)
}

pub async fn take(State(engine): State<Arc<Engine>>, Path((name, snapshot)): Both) -> Answer {
    let taking = tokio::spawn(async move { engine.machines.snapshot(&name, &snapshot).await });
    taking.await.map_err(|error| Error::Invalid(error.to_string()))??;
    stream::done()
}

pub async fn restore(State(engine): State<Arc<Engine>>, Path((name, snapshot)): Both, query: Query) -> Answer {
    let force = query.flag("force")?;
    let restoring = tokio::spawn(async move { engine.machines.restore(&name, &snapshot, force).await });
    restoring.await.map_err(|error| Error::Invalid(error.to_string()))??;
    stream::done()
}

pub async fn remove(State(engine): State<Arc<Engine>>, Path((name, snapshot)): Both) -> Answer {
    engine.machines.remove_snapshot(&name, &snapshot).await?;
    stream::done()
}
