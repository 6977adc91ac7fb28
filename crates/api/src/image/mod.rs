//! Operations on images. Names hold slashes, so paths with a verb behind the name share one route each method, and
//! [`path`] splits them.

mod attestations;
mod create;
mod list;
mod load;
mod path;
mod platform;
pub(crate) mod progress;
mod prune;
mod push;
mod remove;
mod save;
mod simple;
mod squash;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::Engine;

/// Paths and their handlers.
pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/images/json", get(list::list))
        .route("/images/create", post(create::create))
        .route("/images/get", get(save::save_many))
        .route("/images/load", post(load::load))
        .route("/images/prune", post(prune::prune))
        .route("/berth/images/squash", post(squash::squash))
        .route("/images/{*name}", get(path::get).post(path::post).delete(remove::remove))
}
