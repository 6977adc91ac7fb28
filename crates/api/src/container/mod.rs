//! Operations on containers, a file a verb; the smallest share [`simple`].

mod archive;
mod attach;
mod commit;
mod create;
mod inspect;
mod list;
mod logs;
mod prune;
mod remove;
pub(crate) mod shape;
mod simple;
mod start;
mod stats;
mod stop;
mod update;
mod wait;
mod websocket;

use std::sync::Arc;

use axum::{
    Router,
    routing::{delete, get, head, post},
};

use crate::Engine;

/// Paths and their handlers.
pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/containers/json", get(list::list))
        .route("/containers/create", post(create::create))
        .route("/containers/prune", post(prune::prune))
        .route("/containers/{id}", delete(remove::remove))
        .route("/containers/{id}/{*alias}", delete(remove::remove_link))
        .route("/containers/{id}/archive", head(archive::stat).get(archive::get).put(archive::put))
        .route("/containers/{id}/attach", post(attach::attach))
        .route("/containers/{id}/attach/ws", get(websocket::attach))
        .route("/containers/{id}/changes", get(simple::changes))
        .route("/containers/{id}/export", get(simple::export))
        .route("/containers/{id}/json", get(inspect::inspect))
        .route("/containers/{id}/kill", post(simple::kill))
        .route("/containers/{id}/logs", get(logs::logs))
        .route("/containers/{id}/pause", post(simple::pause))
        .route("/containers/{id}/rename", post(simple::rename))
        .route("/containers/{id}/resize", post(simple::resize))
        .route("/containers/{id}/restart", post(stop::restart))
        .route("/containers/{id}/start", post(start::start))
        .route("/containers/{id}/stats", get(stats::stats))
        .route("/containers/{id}/stop", post(stop::stop))
        .route("/containers/{id}/top", get(simple::top))
        .route("/containers/{id}/unpause", post(simple::unpause))
        .route("/containers/{id}/update", post(update::update))
        .route("/containers/{id}/wait", post(wait::wait))
        .route("/commit", post(commit::commit))
}
