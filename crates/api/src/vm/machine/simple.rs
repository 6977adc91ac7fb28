//! Verbs that need no more than a line or two.

use std::sync::Arc;

use axum::extract::State;

use super::whole;
use crate::{Engine, failure::Answer, name::Name, query::Query, stream};

/// `GET /vm/machines`
pub async fn list(State(engine): State<Arc<Engine>>) -> Answer {
    stream::json(&engine.machines.list())
}

/// `GET /vm/machines/{name}`
pub async fn inspect(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    stream::json(&engine.machines.inspect(&name).await?)
}

/// `DELETE /vm/machines/{name}`
pub async fn remove(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    let force = query.flag("force")?;
    whole(async move { engine.machines.remove(&name, force).await }).await?;
    stream::done()
}

/// `POST /vm/machines/{name}/start`
pub async fn start(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    whole(async move { engine.machines.start(&name).await }).await?;
    stream::done()
}

/// `POST /vm/machines/{name}/suspend`
pub async fn suspend(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    let in_memory = query.flag("memory")?;
    whole(async move { engine.machines.suspend(&name, in_memory).await }).await?;
    stream::done()
}

/// `POST /vm/machines/{name}/resume`
pub async fn resume(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    whole(async move { engine.machines.resume(&name).await }).await?;
    stream::done()
}
