//! What can go wrong with networks. Docker's texts are kept where clients know them.

use std::{io, path::PathBuf};

use berth_kit::{Kind, Kinded};

use crate::netlink::Refusal;

/// A failed act on a network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No network has this id or name.
    #[error("network {name} not found")]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// Several networks have ids that begin so.
    #[error("network {name} is ambiguous ({count} matches found on ID prefix)")]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// How many match.
        count: usize,
    },
    /// The name is taken.
    #[error("network with name {name} already exists")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The name cannot be a network's.
    #[error("invalid network name: {name:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed")]
    BadName {
        /// The name.
        name: String,
    },
    /// A default network cannot be removed or made again.
    #[error("{name} is a pre-defined network and cannot be {act}")]
    Predefined {
        /// The network.
        name: String,
        /// `removed` or `created`.
        act: &'static str,
    },
    /// Containers still use the network.
    #[error("error while removing network: network {name} has active endpoints ({containers})")]
    InUse {
        /// The network.
        name: String,
        /// Who uses it.
        containers: String,
    },
    /// A field of a request is wrong.
    #[error("{field}: {why}")]
    Invalid {
        /// The field, as the API calls it.
        field: &'static str,
        /// What is wrong with it, with its value.
        why: String,
    },
    /// A network of settings still has networks that were made from it.
    #[error("configuration network {name:?} is in use by network {user:?}")]
    TemplateInUse {
        /// The network of settings.
        name: String,
        /// One that was made from it.
        user: String,
    },
    /// Nobody can join a network of settings.
    #[error(
        "network {name} is configuration-only and cannot be joined: make a network from it with --config-from {name}"
    )]
    OnlyTemplate {
        /// The network of settings.
        name: String,
    },
    /// The kernel has no SCTP, so nobody could answer at such a port.
    #[error(
        "cannot publish SCTP port {port}: the kernel of this host has no SCTP: load its module (`modprobe sctp`), or use a kernel that has it"
    )]
    NoSctp {
        /// The container's port.
        port: u16,
    },
    /// A part that is not built yet.
    #[error("{what} is not built yet")]
    NotBuilt {
        /// The part.
        what: String,
    },
    /// The kernel lacks links of a kind.
    #[error(
        "the kernel of this host has no {kind} links: load its module (`modprobe {kind}`), or use a kernel that has it"
    )]
    NoKernelDriver {
        /// `macvlan`, `ipvlan`, `dummy`, `vlan`.
        kind: String,
    },
    /// A CNI plugin could not be run, or refused.
    #[error("CNI plugin {plugin} cannot {act}: {why}")]
    Plugin {
        /// Its type.
        plugin: String,
        /// `ADD`, `DEL`, …
        act: &'static str,
        /// Its own words, or why it did not run.
        why: String,
    },
    /// The driver is unknown.
    #[error("could not find plugin {driver} in v1 plugin registry: plugin not found")]
    NoDriver {
        /// The name asked for.
        driver: String,
    },
    /// The subnet is used by another network.
    #[error("invalid pool request: Pool overlaps with other one on this address space: {subnet} (network {holder})")]
    Overlap {
        /// The subnet asked for.
        subnet: String,
        /// The network that has it.
        holder: String,
    },
    /// Every default pool is used up or collides with the host's routes.
    #[error(
        "all predefined address pools have been fully subnetted: remove unused networks, give a subnet, or add \
         \"default-address-pools\" to the daemon's configuration"
    )]
    NoPool,
    /// The network's subnet has no free address.
    #[error(
        "no available {family} addresses on network {network} ({subnet}): remove containers, or make a larger network"
    )]
    Exhausted {
        /// The network.
        network: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Its subnet, or the range that addresses come from.
        subnet: String,
    },
    /// The network has no subnet of the address's family.
    #[error("no configured subnet contains {address}: network {network} has none of its family")]
    WrongFamily {
        /// The network.
        network: String,
        /// The address.
        address: std::net::IpAddr,
    },
    /// The address asked for is used.
    #[error("Address already in use: {address} on network {network}")]
    AddressTaken {
        /// The network.
        network: String,
        /// The address.
        address: std::net::IpAddr,
    },
    /// The container is on the network already.
    #[error("endpoint with name {container} already exists in network {network}")]
    AlreadyConnected {
        /// The container's name.
        container: String,
        /// The network.
        network: String,
    },
    /// The container is not on the network.
    #[error("container {container} is not connected to network {network}")]
    NotConnected {
        /// The container.
        container: String,
        /// The network.
        network: String,
    },
    /// A container of the engine holds the port.
    #[error("Bind for {host_ip}:{port} failed: port is already allocated (held by container {holder})")]
    PortAllocated {
        /// The host's address.
        host_ip: std::net::IpAddr,
        /// The port.
        port: u16,
        /// Who holds it.
        holder: String,
    },
    /// The ports of a container that joins cannot be had.
    #[error("driver failed programming external connectivity on endpoint {container} ({endpoint}): {source}")]
    Publish {
        /// The container's name.
        container: String,
        /// The endpoint's id.
        endpoint: String,
        /// Which port, and why.
        source: Box<Error>,
    },
    /// A program of the host holds the port.
    #[error("failed to bind host port for {host_ip}:{port}/{protocol}: {source}{remedy}", remedy = remedy(.source))]
    PortInUse {
        /// The host's address.
        host_ip: std::net::IpAddr,
        /// The port.
        port: u16,
        /// `tcp`, `udp` or `sctp`.
        protocol: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Every port of a range is held.
    #[error("all ports are allocated: no free {protocol} port in {first}-{last}")]
    NoPort {
        /// `tcp`, `udp` or `sctp`.
        protocol: &'static str,
        /// First of the range.
        first: u16,
        /// Last of the range.
        last: u16,
    },
    /// A container's network namespace cannot be opened.
    #[error("cannot open the network namespace {path}")]
    Namespace {
        /// The namespace file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A link of that name exists and is not a bridge.
    #[error("interface {name} exists and is not a bridge: rename it, or give the network another bridge name")]
    NotBridge {
        /// The link.
        name: String,
    },
    /// The kernel refused a change of links, addresses or routes.
    #[error("cannot {act} {name}: {source}")]
    Link {
        /// What was tried.
        act: &'static str,
        /// The link or network.
        name: String,
        /// Its answer.
        source: Refusal,
    },
    /// The way to the resolver cannot be made in a container's network.
    #[error("cannot lead questions about names to the resolver: {source}")]
    Names {
        /// The kernel's answer.
        source: Refusal,
    },
    /// The kernel refused a change of packet rules.
    #[error("cannot {act} packet rules in nftables table {table}: {source}")]
    Firewall {
        /// What was tried.
        act: &'static str,
        /// The table.
        table: String,
        /// Its answer.
        source: Refusal,
    },
    /// A kernel setting cannot be read or changed.
    #[error("cannot set {name}: {source}")]
    Setting {
        /// As sysctl(8) writes it.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A record cannot be read or written.
    #[error(transparent)]
    Record(#[from] berth_record::Error),
    /// A thread of the engine broke off.
    #[error("network work was broken off")]
    BrokenOff,
}

/// Result of an act on a network.
pub type Result<T> = std::result::Result<T, Error>;

/// What to do where a port is taken; other failures speak for themselves.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "; publish another port, or end the program that listens there",
        io::ErrorKind::AddrNotAvailable => "; publish on an address that this host has",
        _ => "",
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } | Self::NoDriver { .. } => Kind::NotFound,
            Self::Ambiguous { .. }
            | Self::BadName { .. }
            | Self::Invalid { .. }
            | Self::WrongFamily { .. }
            | Self::NoKernelDriver { .. } => Kind::Invalid,
            Self::NameTaken { .. } | Self::AddressTaken { .. } | Self::AlreadyConnected { .. } => Kind::Conflict,
            Self::Predefined { .. }
            | Self::InUse { .. }
            | Self::Overlap { .. }
            | Self::TemplateInUse { .. }
            | Self::OnlyTemplate { .. } => Kind::Forbidden,
            Self::NotBuilt { .. } => Kind::NotBuilt,
            Self::NotConnected { .. } => Kind::Forbidden,
            Self::NoPool | Self::Exhausted { .. } => Kind::Unavailable,
            Self::Record(error) => error.kind(),
            Self::Publish { source, .. } => source.kind(),
            _ => Kind::Internal,
        }
    }
}
