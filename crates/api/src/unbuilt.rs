//! Operations of parts that do not exist yet: known by path and method, answered with 501.

use std::sync::Arc;

use axum::{
    Router,
    routing::{MethodRouter, any, delete, get, post},
};

use crate::{Engine, Error, failure::Failure};

macro_rules! unbuilt {
    ($method:ident, $part:literal) => {
        $method(|| async { Failure::from(Error::NotBuilt($part)) })
    };
}

/// Paths and their refusals.
pub fn routes() -> Router<Arc<Engine>> {
    let mut router = Router::new()
        .route("/build", unbuilt!(post, "image build"))
        .route("/build/prune", unbuilt!(post, "build cache prune"))
        .route("/build/cancel", unbuilt!(post, "image build"))
        .route("/session", unbuilt!(post, "session"))
        .route("/grpc", unbuilt!(post, "session"))
        .route("/images/search", unbuilt!(get, "image search"))
        .route("/distribution/{*name}", unbuilt!(get, "distribution inspect"))
        .route("/plugins", unbuilt!(get, "plugin"))
        .route("/plugins/{*rest}", with_delete(unbuilt!(get, "plugin").post(refuse_plugin)))
        .route("/swarm", unbuilt!(get, "swarm"))
        .route("/swarm/{*rest}", unbuilt!(any, "swarm"));
    for noun in ["nodes", "services", "tasks", "secrets", "configs"] {
        router = router
            .route(&format!("/{noun}"), unbuilt!(get, "swarm"))
            .route(&format!("/{noun}/{{*rest}}"), unbuilt!(any, "swarm"));
    }
    router
}

fn with_delete(methods: MethodRouter<Arc<Engine>>) -> MethodRouter<Arc<Engine>> {
    methods.merge(delete(refuse_plugin))
}

async fn refuse_plugin() -> Failure {
    Error::NotBuilt("plugin").into()
}
