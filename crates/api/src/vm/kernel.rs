//! `GET /vm/kernel`, `POST /vm/kernel`

use std::sync::Arc;

use axum::extract::State;

use crate::{Engine, failure::Answer, query::Query, stream};

/// The kernel that guests boot.
pub async fn current(State(engine): State<Arc<Engine>>) -> Answer {
    stream::json(&engine.containers.guest_kernel().await?)
}

/// Fetches a kernel, or takes the one at `path` (with its modules in `modules`).
pub async fn install(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let path = query.text("path").map(Into::into);
    let modules = query.text("modules").map(Into::into);
    stream::json(&engine.containers.install_guest_kernel(path, modules).await?)
}
