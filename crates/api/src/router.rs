//! From a request to its handler, and the headers of every answer.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
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

    /// Answers one request.
    pub async fn answer(&self, mut request: Request) -> Response {
        let mut response = match version::take(request.uri_mut()) {
            Ok(version) => {
                request.extensions_mut().insert(version);
                let Ok(response) = self.router.call(request).await;
                response
            }
            Err(error) => Failure::from(error).into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(API_VERSION_NAME, API_VERSION);
        headers.insert(EXPERIMENTAL, HeaderValue::from_static(if self.experimental { "true" } else { "false" }));
        headers.insert(OSTYPE, HeaderValue::from_static("linux"));
        headers.insert(hyper::header::SERVER, SERVER);
        response
    }
}

async fn no_page() -> Failure {
    Error::NoPage.into()
}
