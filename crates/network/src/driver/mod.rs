//! Drivers: how containers are wired to a network.
//!
//! # Vocabulary
//! A *network* is a record; a driver turns it into links on the host. An *endpoint* is one container's place on a
//! network: a link inside the container's network namespace with an address, and usually a link on the host.
//!
//! # Life cycle
//! A network costs nothing until [`NetworkDriver::ensure`], which makes or mends its links and may be called at any
//! time. [`NetworkDriver::join`] wires one endpoint, and calls `ensure` itself where a link is missing: an administrator
//! may have removed it. [`NetworkDriver::leave`] undoes a join, also half of one, also when the container's namespace is
//! gone. [`NetworkDriver::sweep`] runs after a daemon's crash: it removes links that no endpoint's record knows.
//! [`NetworkDriver::remove`] ends the network. Addresses, ports and records are the caller's business: a driver only
//! carries out what a record says, so it keeps no state of its own.
//!
//! # Example
//! ```no_run
//! # fn example(network: &berth_network::record::NetworkRecord, endpoint: &berth_network::record::EndpointRecord)
//! # -> berth_network::Result<()> {
//! use berth_network::driver::{Bridge, NetworkDriver};
//! use std::os::fd::AsFd;
//!
//! let driver = Bridge::open()?;
//! let namespace = std::fs::File::open("/proc/4711/ns/net").unwrap();
//! driver.join(network, endpoint, namespace.as_fd())?;
//! driver.leave(network, endpoint)?;
//! driver.remove(network)
//! # }
//! ```
//!
//! # Implementations
//! [`Bridge`], [`Macvlan`] (ipvlan too), [`Cni`] for plugins of others, and [`Null`] for `none` and `host`. All run
//! [`contract::run`].

mod bridge;
pub(crate) mod cni;
pub mod contract;
pub(crate) mod macvlan;
mod null;

use std::os::fd::BorrowedFd;

pub(crate) use bridge::addresses;
pub use bridge::{Bridge, mac_of};
pub use cni::Cni;
pub use macvlan::Macvlan;
pub use null::Null;

use crate::{
    Result,
    netlink::Refusal,
    record::{EndpointRecord, Given, NetworkRecord},
};

/// What [`NetworkDriver::sweep`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Names of links that no record knew; they are gone now.
    pub removed: Vec<String>,
    /// Ids of endpoints whose link is missing.
    pub missing: Vec<String>,
}

/// A way to wire containers. See the module's text for the life cycle. Every method may block for some milliseconds.
pub trait NetworkDriver: std::fmt::Debug + Send + Sync {
    /// The driver's name in the API.
    fn name(&self) -> &'static str;

    /// Whether the network has links on the host at this moment.
    ///
    /// # Errors
    /// [`crate::Error::Link`] when the kernel cannot be asked.
    fn exists(&self, network: &NetworkRecord) -> Result<bool>;

    /// Makes or mends the network's links on the host; idempotent.
    ///
    /// # Errors
    /// [`crate::Error::Link`], [`crate::Error::NotBridge`].
    fn ensure(&self, network: &NetworkRecord) -> Result<()>;

    /// Removes the network's links; absent ones are no error.
    ///
    /// # Errors
    /// [`crate::Error::Link`].
    fn remove(&self, network: &NetworkRecord) -> Result<()>;

    /// Wires `endpoint` into the network namespace `namespace`, and brings its loopback up. A driver that chooses
    /// addresses itself says which.
    ///
    /// # Errors
    /// [`crate::Error::Link`]; then nothing of the endpoint is left.
    fn join(
        &self,
        network: &NetworkRecord,
        endpoint: &EndpointRecord,
        namespace: BorrowedFd<'_>,
    ) -> Result<Option<Given>>;

    /// Takes `endpoint` out of a namespace that lives on; [`NetworkDriver::leave`] follows. Nothing to do where that
    /// removes the link as well.
    ///
    /// # Errors
    /// [`crate::Error::Link`].
    fn unplug(&self, _: &NetworkRecord, _: &EndpointRecord, _: BorrowedFd<'_>) -> Result<()> {
        Ok(())
    }

    /// Removes the endpoint's links; absent ones are no error.
    ///
    /// # Errors
    /// [`crate::Error::Link`].
    fn leave(&self, network: &NetworkRecord, endpoint: &EndpointRecord) -> Result<()>;

    /// Removes links on the network that belong to none of `endpoints`, and says whose are missing.
    ///
    /// # Errors
    /// [`crate::Error::Link`].
    fn sweep(&self, network: &NetworkRecord, endpoints: &[EndpointRecord]) -> Result<Sweep>;
}

fn failed(act: &'static str, name: &str) -> impl FnOnce(Refusal) -> crate::Error + use<> {
    let name = name.to_owned();
    move |source| crate::Error::Link { act, name, source }
}
