//! Operations on networks.

mod connect;
mod create;
mod disconnect;
mod list;
mod prune;
mod simple;
mod view;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::Engine;

/// Paths and their handlers.
pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/networks", get(list::list))
        .route("/networks/create", post(create::create))
        .route("/networks/prune", post(prune::prune))
        .route("/networks/{id}", get(simple::inspect).delete(simple::remove))
        .route("/networks/{id}/connect", post(connect::connect))
        .route("/networks/{id}/disconnect", post(disconnect::disconnect))
}
