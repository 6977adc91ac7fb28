//! From a request to its handler, and the headers of every answer.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode},
    response::{IntoResponse, Response},
};
use futures_util::future::Either;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::{
    Engine, Error, build, buildkit, container, exec, failure::Failure, image, network, registry, system, unbuilt,
    version, vm, volume,
};

const API_VERSION: HeaderValue = HeaderValue::from_static(berth_spec::API_VERSION);
const API_VERSION_NAME: HeaderName = HeaderName::from_static("api-version");
const EXPERIMENTAL: HeaderName = HeaderName::from_static("docker-experimental");
const OSTYPE: HeaderName = HeaderName::from_static("ostype");
const SERVER: HeaderValue = HeaderValue::from_static(concat!("Berth/", env!("CARGO_PKG_VERSION"), " (linux)"));

/// The whole API as a service for HTTP connections.
#[derive(Clone)]
pub struct Api {
    router: TowerToHyperService<Router>,
    experimental: bool,
}

impl Api {
    /// Over the nouns of `engine`.
    #[must_use]
    pub fn new(engine: Arc<Engine>) -> Self {
        let experimental = engine.settings().experimental;
        let router = Router::new()
            .merge(build::routes())
            .merge(buildkit::routes())
            .merge(container::routes())
            .merge(exec::routes())
            .merge(image::routes())
            .merge(network::routes())
            .merge(registry::routes())
            .merge(system::routes())
            .merge(vm::routes())
            .merge(volume::routes())
            .merge(unbuilt::routes())
            .fallback(no_page)
            .method_not_allowed_fallback(no_page)
            .with_state(engine);
        Self { router: TowerToHyperService::new(router), experimental }
    }

    /// Answers one request. A change that [runs on](runs_on) has begun when this returns, whatever becomes of the answer:
    /// a client that has left by now has asked all the same.
    pub fn answer(&self, mut request: Request) -> impl Future<Output = Response> + Send + use<> {
        let begun = version::take(request.uri_mut()).map(|version| {
            request.extensions_mut().insert(version);
            let goes_on = runs_on(request.method(), request.uri().path());
            let call = self.router.call(request);
            if goes_on { Either::Left(tokio::spawn(call)) } else { Either::Right(call) }
        });
        let experimental = HeaderValue::from_static(if self.experimental { "true" } else { "false" });
        async move {
            let mut response = match begun {
                Ok(Either::Left(running)) => match running.await {
                    Ok(Ok(response)) => response,
                    // It panicked: the log has where.
                    Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                },
                Ok(Either::Right(call)) => {
                    let Ok(response) = call.await;
                    response
                }
                Err(error) => Failure::from(error).into_response(),
            };
            let headers = response.headers_mut();
            headers.insert(API_VERSION_NAME, API_VERSION);
            headers.insert(EXPERIMENTAL, experimental);
            headers.insert(OSTYPE, HeaderValue::from_static("linux"));
            headers.insert(hyper::header::SERVER, SERVER);
            response
        }
    }
}

/// Whether what was asked for goes on to its end when the client leaves: a change cut off in its middle would be
/// neither done nor undone. What a client waits for, streams, builds or transfers ends with it.
fn runs_on(method: &Method, path: &str) -> bool {
    const CHANGES: [&str; 13] = [
        "create",
        "start",
        "stop",
        "restart",
        "kill",
        "pause",
        "unpause",
        "rename",
        "update",
        "connect",
        "disconnect",
        "prune",
        "commit",
    ];
    let noun = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let verb = path.rsplit('/').next().unwrap_or_default();
    match (method.as_str(), noun) {
        ("DELETE", _) => true,
        ("POST", "containers" | "networks" | "volumes" | "commit") => CHANGES.contains(&verb),
        _ => false,
    }
}

async fn no_page() -> Failure {
    Error::NoPage.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_run_on_and_waits_do_not() {
        for (method, path) in [
            (Method::POST, "/containers/create"),
            (Method::POST, "/containers/a/start"),
            (Method::DELETE, "/containers/a"),
            (Method::POST, "/networks/a/connect"),
            (Method::POST, "/volumes/create"),
            (Method::POST, "/commit"),
        ] {
            assert!(runs_on(&method, path), "{path}");
        }
        for (method, path) in [
            (Method::POST, "/containers/a/wait"),
            (Method::POST, "/containers/a/attach"),
            (Method::POST, "/images/create"),
            (Method::POST, "/build"),
            (Method::POST, "/exec/a/start"),
            (Method::GET, "/containers/start"),
        ] {
            assert!(!runs_on(&method, path), "{path}");
        }
    }
}
