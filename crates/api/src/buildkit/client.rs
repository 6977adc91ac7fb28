//! The client's side of a build, over its session.

use std::sync::Arc;

use berth_build::Client;
use berth_buildkit::session::Session;
use berth_remote::Credentials;
use berth_spec::Reference;
use futures_util::future::BoxFuture;
use tokio::net::UnixStream;

/// Docker Hub, as clients know its credentials.
const HUB: &str = "registry-1.docker.io";

/// A session as the builder wants it.
pub struct SessionClient(pub Arc<Session>);

impl Client for SessionClient {
    fn credentials<'a>(&'a self, image: &'a Reference) -> BoxFuture<'a, Option<Credentials>> {
        Box::pin(async move {
            let host = match image.domain() {
                "docker.io" => HUB,
                other => other,
            };
            let known = self.0.credentials(host).await.inspect_err(|status| {
                tracing::debug!(host, %status, "a client did not say its credentials");
            });
            let known = known.ok().flatten()?;
            Some(match known.username.is_empty() {
                true => Credentials { identity_token: known.secret, ..Credentials::default() },
                false => Credentials { username: known.username, password: known.secret, ..Credentials::default() },
            })
        })
    }

    fn secret<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, String>> {
        Box::pin(async move { self.0.secret(id).await.map_err(|status| status.message) })
    }

    fn has_ssh<'a>(&'a self, id: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.0.has_agent(id).await.unwrap_or(false) })
    }

    fn ssh(&self, id: String, connection: UnixStream) -> BoxFuture<'static, Result<(), String>> {
        let session = Arc::clone(&self.0);
        Box::pin(async move {
            let agent = session.agent(&id).await.map_err(|status| status.message)?;
            agent.join(connection).await.map_err(|status| status.message)
        })
    }
}
