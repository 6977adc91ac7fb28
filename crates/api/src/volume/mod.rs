//! Operations on volumes.

mod create;
mod duplicate;
mod prune;
mod simple;
mod transfer;

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
        .route("/volumes/{name}/clone", post(duplicate::clone))
        .route("/volumes/{name}/snapshot", post(duplicate::snapshot))
        .route("/volumes/{name}/rename", post(simple::rename))
        .route("/volumes/{name}/export", get(transfer::export))
        .route("/volumes/{name}/import", post(transfer::import))
        .route("/volumes/{name}", get(simple::inspect).put(simple::update).delete(simple::remove))
}
