//! Operations on the daemon itself.

mod auth;
mod events;
mod fsck;
mod info;
mod ping;
mod usage;
mod version;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::Engine;

/// Paths and their handlers.
pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/_ping", get(ping::ping).head(ping::ping_head))
        .route("/auth", post(auth::auth))
        .route("/berth/fsck", post(fsck::fsck))
        .route("/events", get(events::events))
        .route("/info", get(info::info))
        .route("/system/df", get(usage::usage))
        .route("/version", get(version::version))
}
