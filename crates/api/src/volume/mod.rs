//! Operations on volumes.

mod create;
mod prune;
mod simple;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::Engine;

/// Paths and their handlers.
pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/volumes", get(simple::list))
        .route("/volumes/create", post(create::create))
        .route("/volumes/prune", post(prune::prune))
        .route("/volumes/{name}", get(simple::inspect).put(simple::update).delete(simple::remove))
}
