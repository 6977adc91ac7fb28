//! BuildKit's door into the API: `/session` and `/grpc`, upgraded to HTTP/2.

mod builder;
mod cache;
mod client;
mod export;
mod policy;
mod progress;
mod source;

use std::{path::Path, sync::Arc};

use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
    routing::post,
};
use berth_buildkit::{Door, grpc};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::OnceCell;

use crate::{Engine, Error, failure::Failure};

use builder::SolveDoor;

/// Below the data root: folders of clients, and the history of this door.
const FOLDER: &str = "build/buildkit";

/// The door, opened by the first client that comes.
#[derive(Clone, Default)]
struct Lazy(Arc<OnceCell<Arc<Door>>>);

impl Lazy {
    async fn door(&self, engine: &Arc<Engine>) -> Result<Arc<Door>, Failure> {
        let open = || async {
            let root = Path::new(&engine.facts.data_root).join(FOLDER);
            let builder = Arc::new(SolveDoor(Arc::clone(engine)));
            let opened = tokio::task::spawn_blocking(move || Door::open(&root, builder)).await;
            let opened = opened.map_err(std::io::Error::other).and_then(|opened| opened);
            opened.map(Arc::new).map_err(|error| Error::Invalid(format!("cannot open BuildKit's door: {error}")))
        };
        Ok(Arc::clone(self.0.get_or_try_init(open).await?))
    }
}

pub fn routes() -> Router<Arc<Engine>> {
    Router::new().route("/grpc", post(control)).route("/session", post(session)).layer(Extension(Lazy::default()))
}

async fn control(
    State(engine): State<Arc<Engine>>,
    Extension(lazy): Extension<Lazy>,
    request: Request,
) -> Result<Response, Failure> {
    let door = lazy.door(&engine).await?;
    upgraded(request, move |_, connection| async move {
        if let Err(error) = grpc::serve(connection, door).await {
            tracing::debug!(%error, "a connection of a BuildKit client ended");
        }
    })
}

async fn session(
    State(engine): State<Arc<Engine>>,
    Extension(lazy): Extension<Lazy>,
    request: Request,
) -> Result<Response, Failure> {
    let door = lazy.door(&engine).await?;
    upgraded(request, move |headers, connection| async move {
        if let Err(status) = door.sessions().serve(&headers, connection).await {
            tracing::debug!(%status, "a session of a BuildKit client ended");
        }
    })
}

/// Answers 101 and hands the connection to `serve`.
fn upgraded<F>(
    mut request: Request,
    serve: impl FnOnce(axum::http::HeaderMap, TokioIo<hyper::upgrade::Upgraded>) -> F + Send + 'static,
) -> Result<Response, Failure>
where
    F: Future<Output = ()> + Send,
{
    let is_h2c =
        request.headers().get(header::UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"h2c"));
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>().filter(|_| is_h2c) else {
        return Err(Error::Invalid("this endpoint needs an upgrade to h2c".to_owned()).into());
    };
    let headers = request.headers().clone();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => serve(headers, TokioIo::new(connection)).await,
            Err(error) => tracing::debug!(%error, "client left before its connection was upgraded"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("h2c"));
    Ok(response)
}
