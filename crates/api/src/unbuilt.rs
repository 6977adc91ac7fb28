//! Operations of parts that do not exist yet: known by path and method, answered with 501.

use std::sync::Arc;

use axum::{
    Json, Router,
    routing::{any, get, post},
};

use crate::{Engine, Error, failure::Failure, name::Name};

macro_rules! unbuilt {
    ($method:ident, $part:literal) => {
        $method(|| async { Failure::from(Error::NotBuilt($part)) })
    };
}

/// Paths and their refusals.
pub fn routes() -> Router<Arc<Engine>> {
    let mut router = Router::new()
        .route("/build/cancel", unbuilt!(post, "image build"))
        .route("/plugins", get(no_plugins))
        .route("/plugins/{*rest}", get(look_for_plugin).post(refuse_plugin).delete(refuse_plugin))
        .route("/swarm", unbuilt!(get, "swarm"))
        .route("/swarm/{*rest}", unbuilt!(any, "swarm"));
    for noun in ["nodes", "services", "tasks", "secrets", "configs"] {
        router = router
            .route(&format!("/{noun}"), unbuilt!(get, "swarm"))
            .route(&format!("/{noun}/{{*rest}}"), unbuilt!(any, "swarm"));
    }
    router
}

/// There are none, which is no reason for clients that look through every kind of object to stop.
async fn no_plugins() -> Json<[(); 0]> {
    Json([])
}

/// Names may hold slashes, so that the verb is whatever stands last.
async fn look_for_plugin(Name(path): Name) -> Failure {
    match path.strip_suffix("/json") {
        Some(name) => Error::NoSuchPlugin(name.to_owned()).into(),
        None => Error::NotBuilt("plugin").into(),
    }
}

async fn refuse_plugin() -> Failure {
    Error::NotBuilt("plugin").into()
}
