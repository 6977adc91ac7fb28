//! Packet rules: who may talk to whom, and which port of the host leads into which container.
//!
//! # Vocabulary
//! A *bridge* is a network's link on the host. A *port* is one published port: protocol, host address, host port,
//! and the container's address and port it leads to. What the engine wants at a moment is a [`Desired`]: all bridges
//! and all ports.
//!
//! # Life cycle
//! Nothing is installed before the first container joins a network. Then [`Firewall::install`] puts the whole of
//! `Desired` in place of whatever was there, at once: no packet ever meets half of it. From then on single bridges and
//! ports come and go by the small methods, each a transaction of its own; all of them are idempotent. When one of them
//! fails, or [`Firewall::concerns`] says that somebody else touched the rules, the caller installs everything again.
//! The rules outlive the daemon. [`Firewall::clear`] removes every trace.
//!
//! # Example
//! ```no_run
//! use berth_network::firewall::{BridgeRules, Desired, Firewall, Nftables};
//!
//! let firewall = Nftables::open("berth", false)?;
//! let (bridge, subnet) = ("berth0".to_owned(), "172.17.0.0/16".parse().unwrap());
//! let bridge = BridgeRules { bridge, subnet: Some(subnet), masquerade: true, ..BridgeRules::default() };
//! firewall.install(&Desired { bridges: vec![bridge], ports: vec![] })?;
//! firewall.clear()?;
//! # Ok::<(), berth_network::Error>(())
//! ```
//!
//! # Implementations
//! [`Nftables`], and [`Off`] for hosts whose rules somebody else writes (`"iptables": false`). Both run
//! [`contract::run`].

pub mod contract;
mod nftables;
mod off;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub use nftables::{ForeignDrop, Keeper, Nftables, foreign_drops, rules};
pub use off::Off;

use crate::{Result, cidr::Cidr, netlink::Socket, port::Protocol};

/// What one network's bridge may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BridgeRules {
    /// Name of the link, at most 15 bytes.
    pub bridge: String,
    /// Its IPv4 addresses.
    pub subnet: Option<Cidr>,
    /// Its IPv6 addresses.
    pub subnet6: Option<Cidr<Ipv6Addr>>,
    /// Its containers leave the host with the host's IPv4 address.
    pub masquerade: bool,
    /// Its containers leave the host with the host's IPv6 address.
    pub masquerade6: bool,
    /// Its containers are reached at their own IPv4 addresses, where a port is published.
    pub routed: bool,
    /// The same of IPv6.
    pub routed6: bool,
    /// Its containers are reached at their own IPv4 addresses, at every port.
    pub open: bool,
    /// The same of IPv6.
    pub open6: bool,
    /// Its containers may talk to each other.
    pub talking: bool,
    /// Its containers neither leave the host nor are reached from outside the bridge.
    pub internal: bool,
}

/// One published port. Both addresses are of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRule {
    /// Transport protocol.
    pub protocol: Protocol,
    /// The host's address; `0.0.0.0` or `::` for all of them.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
    /// Where it leads.
    pub target: SocketAddr,
    /// Nothing leads there from the host's addresses: the target itself is open.
    pub routed: bool,
}

/// All that should be in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// Bridges of networks.
    pub bridges: Vec<BridgeRules>,
    /// Published ports.
    pub ports: Vec<PortRule>,
}

/// The host's packet rules, as far as they are the engine's. See the module's text for the life cycle.
pub trait Firewall: std::fmt::Debug + Send + Sync {
    /// Short name for `info` (`nftables`, `none`).
    fn name(&self) -> &'static str;

    /// Puts `desired` in place of whatever the engine had installed, atomically.
    ///
    /// # Errors
    /// [`crate::Error::Firewall`]; then the former rules still stand.
    fn install(&self, desired: &Desired) -> Result<()>;

    /// Adds a bridge.
    ///
    /// # Errors
    /// [`crate::Error::Firewall`], also when nothing is installed.
    fn open_bridge(&self, bridge: &BridgeRules) -> Result<()>;

    /// Removes a bridge; an absent one is no error.
    ///
    /// # Errors
    /// As [`Self::open_bridge`].
    fn close_bridge(&self, bridge: &BridgeRules) -> Result<()>;

    /// Publishes ports, all or none. One that is published already is no error.
    ///
    /// # Errors
    /// As [`Self::open_bridge`].
    fn publish(&self, ports: &[PortRule]) -> Result<()>;

    /// Withdraws ports; TCP connections through them go on, UDP clients are led anew. An absent one is no error.
    ///
    /// # Errors
    /// As [`Self::open_bridge`].
    fn withdraw(&self, ports: &[PortRule]) -> Result<()>;

    /// Whether the rules are in force (to the extent that a look at the table's presence tells).
    ///
    /// # Errors
    /// [`crate::Error::Firewall`] when the kernel cannot be asked.
    fn is_installed(&self) -> Result<bool>;

    /// A socket that becomes readable when somebody changes rules; `None` where there is nothing to watch.
    ///
    /// # Errors
    /// [`crate::Error::Firewall`].
    fn listen(&self) -> Result<Option<Socket>>;

    /// Whether a datagram from [`Self::listen`] tells of a change to the engine's rules that the engine did not make.
    fn concerns(&self, datagram: &[u8]) -> bool;

    /// Whether a datagram from [`Self::listen`] tells of a change to other programs' rules that the engine's follow.
    fn follows(&self, _: &[u8]) -> bool {
        false
    }

    /// Lets other programs' rules judge anew whom they have let in.
    ///
    /// # Errors
    /// As [`Self::open_bridge`].
    fn judge_anew(&self) -> Result<()> {
        Ok(())
    }

    /// Removes every rule of the engine; nothing to remove is no error.
    ///
    /// # Errors
    /// [`crate::Error::Firewall`].
    fn clear(&self) -> Result<()>;
}
