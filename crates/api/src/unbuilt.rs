//! Operations of parts that do not exist yet: known by path and method, answered with 501; and what
//! an engine that is in no swarm says, which is true of every berth.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    routing::{any, get, post},
};

use crate::{Engine, Error, failure::Failure, name::Name};

macro_rules! unbuilt {
    ($method:ident, $part:literal) => {
        // The body is read all the same: a client that is refused in the middle of it tells of a broken pipe.
        $method(|_body: Bytes| async { Failure::from(Error::NotBuilt($part)) })
    };
}

/// Paths and their refusals.
pub fn routes() -> Router<Arc<Engine>> {
    let mut router = Router::new()
        .route("/build/cancel", unbuilt!(post, "image build"))
        .route("/plugins", get(no_plugins))
        .route("/plugins/{*rest}", get(look_for_plugin).post(refuse_plugin).delete(refuse_plugin))
        .route("/swarm", get(outside_of_swarm))
        .route("/swarm/init", unbuilt!(post, "swarm"))
        .route("/swarm/join", unbuilt!(post, "swarm"))
        .route("/swarm/leave", post(no_swarm_to_leave))
        .route("/swarm/{*rest}", any(outside_of_swarm));
    for noun in ["nodes", "services", "tasks", "secrets", "configs"] {
        router = router
            .route(&format!("/{noun}"), get(outside_of_swarm))
            .route(&format!("/{noun}/{{*rest}}"), any(outside_of_swarm));
    }
    router
}

/// Clients that look for a swarm everywhere know this answer of an engine that is in none.
async fn outside_of_swarm(_body: Bytes) -> Failure {
    Error::OutsideOfSwarm("manager").into()
}

async fn no_swarm_to_leave(_body: Bytes) -> Failure {
    Error::OutsideOfSwarm("part").into()
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

async fn refuse_plugin(_body: Bytes) -> Failure {
    Error::NotBuilt("plugin").into()
}
