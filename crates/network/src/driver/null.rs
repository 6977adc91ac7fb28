//! No wiring: `none` has a loopback only, `host` is the host's own namespace.

use std::os::fd::BorrowedFd;

use super::{Given, NetworkDriver, Sweep};
use crate::{
    Error, Result,
    netlink::{Family, Socket, link},
    record::{EndpointRecord, NetworkRecord},
};

/// Index of the loopback link in every network namespace (`LOOPBACK_IFINDEX`).
pub(super) const LOOPBACK: u32 = 1;

/// The driver of `none` and `host`.
#[derive(Debug, Clone, Copy)]
pub struct Null {
    name: &'static str,
    loopback: bool,
}

impl Null {
    /// Driver of the network `none`: brings the loopback up.
    pub const NONE: Self = Self { name: "null", loopback: true };
    /// Driver of the network `host`: touches nothing.
    pub const HOST: Self = Self { name: "host", loopback: false };
}

impl NetworkDriver for Null {
    fn name(&self) -> &'static str {
        self.name
    }

    fn exists(&self, _: &NetworkRecord) -> Result<bool> {
        Ok(false)
    }

    fn ensure(&self, _: &NetworkRecord) -> Result<()> {
        Ok(())
    }

    fn remove(&self, _: &NetworkRecord) -> Result<()> {
        Ok(())
    }

    fn join(&self, network: &NetworkRecord, _: &EndpointRecord, namespace: BorrowedFd<'_>) -> Result<Option<Given>> {
        if !self.loopback {
            return Ok(None);
        }
        Socket::open_in(namespace, Family::Route)
            .and_then(|mut socket| socket.transact(vec![link::up(LOOPBACK)]))
            .map(|()| None)
            .map_err(|source| Error::Link { act: "bring up the loopback on", name: network.name.clone(), source })
    }

    fn leave(&self, _: &NetworkRecord, _: &EndpointRecord) -> Result<()> {
        Ok(())
    }

    fn sweep(&self, _: &NetworkRecord, _: &[EndpointRecord]) -> Result<Sweep> {
        Ok(Sweep::default())
    }
}
