//! Machines of their own: an extension of the Engine API (docs/machines.md has the table).

mod archive;
mod clone;
mod console;
mod create;
mod definition;
mod set;
mod simple;
mod snapshot;
mod stop;
mod xml;

use std::{future::Future, sync::Arc};

use axum::{
    Router,
    routing::{get, post, put},
};

use crate::{Engine, Error, failure::Failure};

/// Carries an act out to its end, even when its client leaves: half a machine is none.
async fn whole<T: Send + 'static>(
    act: impl Future<Output = berth_machine::Result<T>> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::spawn(act).await.map_err(|error| Error::Unreachable(error.to_string()))?;
    Ok(done?)
}

/// Paths and their handlers.
pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/vm/machines", get(simple::list).post(create::create))
        .route("/vm/machines/{name}", get(simple::inspect).patch(set::set).delete(simple::remove))
        .route("/vm/machines/{name}/definition", get(definition::show).put(definition::replace))
        .route("/vm/machines/{name}/start", post(simple::start))
        .route("/vm/machines/{name}/stop", post(stop::stop))
        .route("/vm/machines/{name}/reboot", post(stop::reboot))
        .route("/vm/machines/{name}/suspend", post(simple::suspend))
        .route("/vm/machines/{name}/resume", post(simple::resume))
        .route("/vm/machines/{name}/console", post(console::console))
        .route("/vm/machines/{name}/snapshots", get(snapshot::list))
        .route("/vm/machines/{name}/snapshots/{snapshot}", put(snapshot::take).delete(snapshot::remove))
        .route("/vm/machines/{name}/snapshots/{snapshot}/restore", post(snapshot::restore))
        .route("/vm/machines/{name}/clone", post(clone::clone))
        .route("/vm/machines/{name}/export", get(archive::export))
        .route("/vm/machines/{name}/xml", get(xml::export))
        .route("/vm/import", post(archive::import))
        .route("/vm/import-xml", post(xml::import))
}
