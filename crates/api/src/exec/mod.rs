//! Operations on exec sessions.

mod create;
mod simple;
mod start;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::Engine;

/// Paths and their handlers.
pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/containers/{id}/exec", post(create::create))
        .route("/exec/{id}/start", post(start::start))
        .route("/exec/{id}/resize", post(simple::resize))
        .route("/exec/{id}/json", get(simple::inspect))
}
