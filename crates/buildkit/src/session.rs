//! Sessions: connections on which a client offers what its builds need from its side.
//!
//! ```text
//! client ──POST /session, upgraded──► Sessions::serve ──► Session { id, methods, channel }
//!                                                              ▲
//! client ──Control.Solve{session: id}──► a build ── Sessions::get ──► files, secrets, credentials, SSH, outputs
//! ```
//!
//! A session lives as long as its connection. A build that names one waits for it a little: both are under way at the
//! same time.

mod auth;
mod content;
mod policy;
mod receive;
mod secret;
mod send;
mod ssh;
mod sync;
mod tree;
mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};

use crate::grpc::{Channel, Code, Status};

pub use auth::{Credentials, Token};
pub use content::{Blob, BlobSink};
pub use receive::Received;
pub use send::FileSink;
pub use ssh::Agent;
pub use sync::{Contexts, Synced, Wanted};
pub use upload::Upload;

/// How long a build waits for the session it names.
const PATIENCE: Duration = Duration::from_secs(5);
/// Sessions at the same time.
const SESSIONS: usize = 256;

/// The sessions that are connected.
#[derive(Default)]
pub struct Sessions {
    connected: Mutex<BTreeMap<String, Arc<Session>>>,
    came: Notify,
}

/// One client's side.
pub struct Session {
    id: String,
    shared_key: String,
    methods: BTreeSet<String>,
    channel: Channel,
    ended: watch::Sender<bool>,
}

impl Sessions {
    /// Serves the session that `headers` announce until its connection ends.
    ///
    /// # Errors
    /// [`Status`] for headers without an id, a connection that is no HTTP/2, or too many sessions.
    pub async fn serve<S>(&self, headers: &HeaderMap, connection: S) -> Result<(), Status>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let id = header(headers, "x-docker-expose-session-uuid");
        if id.is_empty() {
            return Err(Status::invalid("a session needs the header X-Docker-Expose-Session-Uuid"));
        }
        if self.lock().len() >= SESSIONS {
            return Err(Status::new(Code::ResourceExhausted, format!("more than {SESSIONS} sessions")));
        }
        let (channel, driver) = Channel::open(connection).await?;
        let methods = headers.get_all("x-docker-expose-session-grpc-method").iter();
        let methods = methods.filter_map(|method| method.to_str().ok()).map(str::to_lowercase).collect();
        let shared_key = header(headers, "x-docker-expose-session-sharedkey");
        let session =
            Arc::new(Session { id: id.clone(), shared_key, methods, channel, ended: watch::Sender::new(false) });
        self.lock().insert(id.clone(), Arc::clone(&session));
        self.came.notify_waiters();
        let ended = driver.await;
        session.ended.send_replace(true);
        let mut connected = self.lock();
        if connected.get(&id).is_some_and(|known| Arc::ptr_eq(known, &session)) {
            connected.remove(&id);
        }
        ended.map_err(Status::from)
    }

    /// The session called `id`, waited for a little.
    ///
    /// # Errors
    /// [`Code::NotFound`] when it does not come.
    pub async fn get(&self, id: &str) -> Result<Arc<Session>, Status> {
        let wait = async {
            loop {
                let came = self.came.notified();
                tokio::pin!(came);
                came.as_mut().enable();
                if let Some(session) = self.lock().get(id).cloned() {
                    return session;
                }
                came.await;
            }
        };
        let missing = || Status::new(Code::NotFound, format!("no active session for {id}: context deadline exceeded"));
        tokio::time::timeout(PATIENCE, wait).await.map_err(|_| missing())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Session>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What builds of the same folder have in common, for keeping what was sent.
    #[must_use]
    pub fn shared_key(&self) -> &str {
        &self.shared_key
    }

    /// Whether the client offers a method, as `/package.Service/Method`.
    #[must_use]
    pub fn offers(&self, method: &str) -> bool {
        self.methods.contains(&method.to_lowercase())
    }

    /// Waits until the client is gone.
    pub async fn ended(&self) {
        let mut seen = self.ended.subscribe();
        let _ = seen.wait_for(|ended| *ended).await;
    }

    fn needs(&self, method: &str) -> Result<(), Status> {
        let missing = || Status::new(Code::Unimplemented, format!("method {method} not supported by the client"));
        self.offers(method).then_some(()).ok_or_else(missing)
    }
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
