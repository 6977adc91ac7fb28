//! What all conversations with registries share: connections kept alive, certificates read, the health of endpoints,
//! downloads under way.

use std::sync::Arc;

use berth_spec::Reference;

use crate::{
    Credentials, Policy, Repository, Result, download::Downloads, health::Health, pool::Pool, repository::Access,
    trust::Trusts,
};

/// A client of registries; clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub pool: Arc<Pool>,
    pub trusts: Trusts,
    pub health: Health,
    pub downloads: Downloads,
}

impl Client {
    /// The repository of `reference`, for reading. Nothing is sent yet.
    ///
    /// # Errors
    /// [`crate::Error::Address`] for a mirror or host that cannot be used, [`crate::Error::Hosts`].
    pub fn repository(
        &self,
        reference: &Reference,
        policy: &Policy,
        credentials: Option<Credentials>,
    ) -> Result<Repository> {
        Repository::new(self.clone(), reference, policy, credentials, Access::Pull)
    }

    /// The repository of `reference`, for reading and writing: mirrors are left out.
    ///
    /// # Errors
    /// As [`Client::repository`].
    pub fn writable(
        &self,
        reference: &Reference,
        policy: &Policy,
        credentials: Option<Credentials>,
    ) -> Result<Repository> {
        Repository::new(self.clone(), reference, policy, credentials, Access::Push)
    }
}
