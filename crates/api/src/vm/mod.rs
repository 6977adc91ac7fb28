//! Virtual machines, and what they need of the host: berth's own operations, beside Docker's.

mod doctor;
mod kernel;
mod machine;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::Engine;

/// Paths and their handlers.
pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/vm/doctor", get(doctor::doctor))
        .route("/vm/kernel", post(kernel::install).get(kernel::current))
        .merge(machine::routes())
}
