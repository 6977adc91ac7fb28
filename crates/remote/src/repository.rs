//! A repository and the ways to it.

use std::{
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use berth_spec::Reference;

use crate::{Credentials, Error, Policy, Result, policy::Endpoint};

/// A repository on its registry and that registry's mirrors.
#[derive(Debug)]
pub struct Repository {
    /// On the registry: `library/debian`.
    pub(crate) path: String,
    /// For messages: `debian`.
    pub(crate) familiar: String,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) certificates: Vec<PathBuf>,
    pub(crate) ways: Vec<Way>,
}

/// An endpoint and what has been learned about it.
#[derive(Debug)]
pub(crate) struct Way {
    pub endpoint: Endpoint,
    authorization: Mutex<Option<String>>,
    /// Nobody answers there.
    is_dead: AtomicBool,
}

impl Way {
    pub fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Repository {
    /// The repository of `reference`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Address`] for a mirror or host that cannot be used.
    pub fn open(reference: &Reference, policy: &Policy, credentials: Option<Credentials>) -> Result<Self> {
        let way = |endpoint| Way { endpoint, authorization: Mutex::default(), is_dead: AtomicBool::new(false) };
        Ok(Self {
            path: reference.path().to_owned(),
            familiar: reference.familiar_name(),
            credentials,
            certificates: policy.certificates.clone(),
            ways: policy.endpoints(reference.domain())?.into_iter().map(way).collect(),
        })
    }

    /// The ways to try, in order: those where nobody answered are left out while there are others.
    pub(crate) fn ways(&self) -> Vec<&Way> {
        let alive: Vec<&Way> = self.ways.iter().filter(|way| !way.is_dead.load(Ordering::Relaxed)).collect();
        if alive.is_empty() { self.ways.iter().collect() } else { alive }
    }

    /// Whether the next way is worth a try after `outcome`.
    pub(crate) fn goes_on<T>(way: &Way, outcome: &Result<T>) -> bool {
        match outcome {
            Ok(_) | Err(Error::Content(_)) => false,
            Err(error) => {
                way.is_dead.store(error.is_unreachable(), Ordering::Relaxed);
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
}
