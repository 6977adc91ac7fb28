//! `/vm/machines/{name}/snapshots`: list, take, restore, remove.

use std::sync::Arc;

use axum::extract::{Path, State};

use super::whole;
use crate::{Engine, failure::Answer, name::Name, query::Query, stream};

type Both = Path<(String, String)>;

pub async fn list(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    stream::json(&engine.machines.snapshots(&name).await?)
}

pub async fn take(State(engine): State<Arc<Engine>>, Path((name, snapshot)): Both) -> Answer {
    whole(async move { engine.machines.snapshot(&name, &snapshot).await }).await?;
    stream::done()
}

pub async fn restore(State(engine): State<Arc<Engine>>, Path((name, snapshot)): Both, query: Query) -> Answer {
    let force = query.flag("force")?;
    whole(async move { engine.machines.restore(&name, &snapshot, force).await }).await?;
    stream::done()
}

pub async fn remove(State(engine): State<Arc<Engine>>, Path((name, snapshot)): Both) -> Answer {
    whole(async move { engine.machines.remove_snapshot(&name, &snapshot).await }).await?;
    stream::done()
}
