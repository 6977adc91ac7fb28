//! Builds: Docker's `POST /build` with its stream, berth's own contexts and history beside it.

mod answer;
mod cache;
mod classic;
mod context;
mod history;
mod output;
mod prune;
mod reader;
mod start;
pub(crate) mod usage;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post, put},
};

use crate::Engine;

/// Paths and their handlers.
pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/build", post(start::build))
        .route("/build/prune", post(prune::prune))
        .route("/berth/build/context", post(context::begin))
        .route("/berth/build/context/{id}", put(context::receive))
        .route("/berth/build/history", get(history::list))
        .route("/berth/build/history/{reference}", get(history::inspect).delete(history::remove))
        .route("/berth/build/history/{reference}/logs", get(history::logs))
        .route("/berth/build/files/{image}", get(history::files))
        .route("/berth/build/cache/{reference}", get(output::cache))
        .route("/berth/build/bundle", get(output::bundle))
}
