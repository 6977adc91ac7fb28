//! A repository and the ways to it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use berth_spec::Reference;
use tokio::sync::Semaphore;

use crate::{
    Client, Credentials, Error, Policy, Result,
    connect::Target,
    origin::Origin,
    policy::{Abilities, Endpoint},
    trust::Trust,
};

/// Connections for the blobs of one image.
const CONNECTIONS: usize = 6;

/// What a repository is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Pull,
    Push,
}

/// A repository on its registry and that registry's mirrors.
#[derive(Debug)]
pub struct Repository {
    pub(crate) client: Client,
    pub(crate) policy: Policy,
    /// On the registry: `library/debian`.
    pub(crate) path: String,
    /// For messages: `debian`.
    pub(crate) familiar: String,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) access: Access,
    /// Other repositories whose blobs may be mounted.
    pub(crate) sources: Vec<String>,
    pub(crate) ways: Vec<Way>,
    /// Turns of connections for blobs.
    pub(crate) connections: Arc<Semaphore>,
}

/// An endpoint and what has been learned about it.
#[derive(Debug)]
pub(crate) struct Way {
    pub endpoint: Endpoint,
    authorization: Mutex<Option<String>>,
    /// Nobody answers there, or what came from there was wrong.
    is_dead: AtomicBool,
}

impl Way {
    pub fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves it out from now on.
    pub fn bury(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }
}

impl Repository {
    /// The repository of `reference`, with a client of its own. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Address`] for a mirror or host that cannot be used, [`Error::Hosts`].
    pub fn open(reference: &Reference, policy: &Policy, credentials: Option<Credentials>) -> Result<Self> {
        Client::default().repository(reference, policy, credentials)
    }

    pub(crate) fn new(
        client: Client,
        reference: &Reference,
        policy: &Policy,
        credentials: Option<Credentials>,
        access: Access,
    ) -> Result<Self> {
        let way = |endpoint| Way { endpoint, authorization: Mutex::default(), is_dead: AtomicBool::new(false) };
        let mut endpoints = policy.endpoints(reference.domain())?;
        if access == Access::Push {
            // What is pushed goes to the registry itself, unless a table says that a way may be pushed to.
            endpoints
                .retain(|endpoint| endpoint.abilities.push && (!endpoint.is_mirror || endpoint.namespace.is_some()));
            endpoints.sort_by_key(|endpoint| endpoint.is_mirror);
        }
        Ok(Self {
            client,
            policy: policy.clone(),
            path: reference.path().to_owned(),
            familiar: reference.familiar_name(),
            credentials,
            access,
            sources: Vec::new(),
            ways: endpoints.into_iter().map(way).collect(),
            connections: Arc::new(Semaphore::new(if policy.connections == 0 {
                CONNECTIONS
            } else {
                policy.connections
            })),
        })
    }

    /// Says which repositories of the same registry blobs may be mounted from: rights to read them are asked for.
    #[must_use]
    pub fn with_sources(mut self, sources: Vec<String>) -> Self {
        self.sources = sources;
        self
    }

    /// Its path on the registry: `library/debian`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The ways to try, in order: those that failed lately come last, those where nobody answered are left out while
    /// there are others.
    pub(crate) fn ways(&self, wanted: impl Fn(&Abilities) -> bool) -> Vec<&Way> {
        let able: Vec<&Way> = self.ways.iter().filter(|way| wanted(&way.endpoint.abilities)).collect();
        let mut ways: Vec<&Way> = able.iter().copied().filter(|way| !way.is_dead.load(Ordering::Relaxed)).collect();
        if ways.is_empty() {
            ways = able;
        }
        // The registry itself may speak TLS or not, in this order whatever happened before.
        let health = &self.client.shared.health;
        ways.sort_by_key(|way| if way.endpoint.is_mirror { health.failures(&way.endpoint.name()) } else { 0 });
        ways
    }

    /// Whether the next way is worth a try after `outcome`.
    pub(crate) fn goes_on<T>(&self, way: &Way, outcome: &Result<T>) -> bool {
        let health = &self.client.shared.health;
        match outcome {
            Ok(_) => {
                health.answered(&way.endpoint.name());
                false
            }
            Err(Error::Content(_)) => false,
            Err(error) => {
                way.is_dead.store(error.is_unreachable(), Ordering::Relaxed);
                if error.is_sickness() {
                    health.failed(&way.endpoint.name(), error.wait());
                }
                let goes_on = way.endpoint.is_mirror || error.is_unreachable();
                tracing::debug!(%error, endpoint = %way.endpoint.origin, goes_on, "a way to the registry failed");
                goes_on
            }
        }
    }

    /// The error when no way was left.
    pub(crate) fn no_way(&self) -> Error {
        Error::Address { address: self.familiar.clone(), reason: "there is no way to its registry" }
    }

    pub(crate) fn target<'t>(&'t self, origin: &'t Origin, trust: &'t Trust) -> Target<'t> {
        Target { client: &self.client, policy: &self.policy, origin, trust }
    }
}
