//! Published ports: what a container asks for, what it gets, and who holds which port of the host.
//!
//! A port is free when no container of the engine holds it and a socket can be bound to it at this moment. The engine
//! holds no socket afterwards: the packet rules take the traffic before any socket would see it.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
};

use rustix::{
    io::Errno,
    net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt},
};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where the kernel keeps its range of ephemeral ports.
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// `IPPROTO_*`.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// As in `80/tcp`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(Error::Invalid { field: "Ports", why: format!("invalid proto: {text}") }),
        }
    }
}

/// A port that a container wants published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// The container's port.
    pub container_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The host's address; `None` for all, or the network's own choice.
    pub host_ip: Option<IpAddr>,
    /// The host's port, or the range to take the first free one from; `None` for any.
    pub host_ports: Option<RangeInclusive<u16>>,
}

/// A port that is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The container's port.
    pub container_port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The host's address; unspecified for all.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
}

/// A container that holds ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    container_id: String,
    container_name: String,
}

impl Holder {
    /// The container with this full id and name.
    #[must_use]
    pub fn new(container_id: &str, container_name: &str) -> Self {
        Self { container_id: container_id.to_owned(), container_name: container_name.to_owned() }
    }
}

/// What a container's ports can be led to.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// The host's address where none is asked for.
    pub default_ip: IpAddr,
    /// It has an IPv4 address.
    pub ipv4: bool,
    /// It has an IPv6 address.
    pub ipv6: bool,
    /// TCP and UDP over IPv6 may be carried to its IPv4 address.
    pub relay: bool,
}

impl Reach {
    fn check(self, host_ip: IpAddr, protocol: Protocol) -> Result<()> {
        let refuse = |why: String| Err(Error::Invalid { field: "PortBindings", why });
        if host_ip.is_ipv4() && !self.ipv4 {
            return refuse(format!("{host_ip} cannot lead to a container without an IPv4 address"));
        }
        if host_ip.is_ipv6() && !self.ipv6 && !(self.relay && protocol != Protocol::Sctp) {
            return refuse(format!(
                "{protocol} at [{host_ip}] cannot lead to a container without an IPv6 address: make its network with \
                 IPv6 (--ipv6)"
            ));
        }
        Ok(())
    }
}

/// Which container holds which port of the host.
#[derive(Debug, Default)]
pub struct Ports {
    held: HashMap<(Protocol, u16), Vec<(IpAddr, Holder)>>,
    /// Where the search for any free port goes on: a port just given back is not given out at once.
    next_any: u16,
}

impl Ports {
    /// Finds and holds a port of the host for each of `wanted`; all or none. A port on every IPv4 address is held on
    /// every IPv6 address too, where that is free and leads somewhere.
    ///
    /// # Errors
    /// [`Error::PortAllocated`], [`Error::PortInUse`], [`Error::NoPort`], [`Error::Invalid`].
    pub fn reserve(&mut self, wanted: &[PortMapping], reach: Reach, holder: &Holder) -> Result<Vec<PublishedPort>> {
        let mut published = Vec::with_capacity(wanted.len());
        for mapping in wanted {
            let host_ip = mapping.host_ip.unwrap_or(reach.default_ip);
            match reach.check(host_ip, mapping.protocol).and_then(|()| self.find(mapping, host_ip)) {
                Ok(port) => {
                    self.hold(&port, holder);
                    published.push(port);
                    let twin = PublishedPort { host_ip: Ipv6Addr::UNSPECIFIED.into(), ..port };
                    let everywhere = mapping.host_ip.is_none() && port.host_ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                    let leads = reach.ipv6 || (reach.relay && port.protocol != Protocol::Sctp);
                    if everywhere && leads && self.check(&twin).is_ok() {
                        self.hold(&twin, holder);
                        published.push(twin);
                    }
                }
                Err(error) => {
                    self.release(&published, &holder.container_id);
                    return Err(error);
                }
            }
        }
        Ok(published)
    }

    /// Notes that a container holds a port already, as its record says.
    pub fn hold(&mut self, port: &PublishedPort, holder: &Holder) {
        self.held.entry((port.protocol, port.host_port)).or_default().push((port.host_ip, holder.clone()));
    }

    /// Gives ports of a container back.
    pub fn release(&mut self, ports: &[PublishedPort], container_id: &str) {
        for port in ports {
            let key = (port.protocol, port.host_port);
            let Some(holders) = self.held.get_mut(&key) else { continue };
            let is_it =
                |(host_ip, holder): &(IpAddr, Holder)| holder.container_id == container_id && *host_ip == port.host_ip;
            if let Some(position) = holders.iter().position(is_it) {
                holders.swap_remove(position);
            }
            if holders.is_empty() {
                self.held.remove(&key);
            }
        }
    }

    /// The container that holds ports has another name.
    pub fn rename(&mut self, container_id: &str, name: &str) {
        let holders = self.held.values_mut().flatten().map(|(_, holder)| holder);
        for holder in holders.filter(|holder| holder.container_id == container_id) {
            name.clone_into(&mut holder.container_name);
        }
    }

    fn find(&mut self, mapping: &PortMapping, host_ip: IpAddr) -> Result<PublishedPort> {
        let port = |host_port| PublishedPort {
            container_port: mapping.container_port,
            protocol: mapping.protocol,
            host_ip,
            host_port,
        };
        if mapping.protocol == Protocol::Sctp && !has_sctp() {
            return Err(Error::NoSctp { port: mapping.container_port });
        }
        if mapping.container_port == 0 {
            return Err(Error::Invalid { field: "Ports", why: "invalid container port: 0".to_owned() });
        }
        match &mapping.host_ports {
            Some(range) if range.start() == range.end() && *range.start() != 0 => {
                let wanted = port(*range.start());
                self.check(&wanted)?;
                Ok(wanted)
            }
            Some(range) if *range.start() != 0 => {
                let free = range.clone().map(port).find(|port| self.check(port).is_ok());
                free.ok_or(Error::NoPort {
                    protocol: mapping.protocol.name(),
                    first: *range.start(),
                    last: *range.end(),
                })
            }
            _ => {
                let range = ephemeral_range();
                let (first, last) = (*range.start(), *range.end());
                let from = if range.contains(&self.next_any) { self.next_any } else { first };
                let free = (from..=last).chain(first..from).map(port).find(|port| self.check(port).is_ok());
                let free = free.ok_or(Error::NoPort { protocol: mapping.protocol.name(), first, last })?;
                self.next_any = free.host_port.checked_add(1).unwrap_or(first);
                Ok(free)
            }
        }
    }

    fn check(&self, port: &PublishedPort) -> Result<()> {
        let holders = self.held.get(&(port.protocol, port.host_port));
        let collides = |(held, _): &&(IpAddr, Holder)| {
            *held == port.host_ip
                || (held.is_ipv4() == port.host_ip.is_ipv4()
                    && (held.is_unspecified() || port.host_ip.is_unspecified()))
        };
        if let Some((_, holder)) = holders.and_then(|holders| holders.iter().find(collides)) {
            return Err(Error::PortAllocated {
                host_ip: port.host_ip,
                port: port.host_port,
                holder: holder.container_name.clone(),
            });
        }
        try_bind(port).map_err(|errno| Error::PortInUse {
            host_ip: port.host_ip,
            port: port.host_port,
            protocol: port.protocol.name(),
            source: errno.into(),
        })
    }
}

/// The kernel's range of ephemeral ports, as a range to publish from (`ip_local_port_range`).
fn ephemeral_range() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string(EPHEMERAL).unwrap_or_default();
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) if first <= last && first > 0 => first..=last,
        _ => 49153..=65535,
    }
}

/// Whether the kernel has SCTP; asking loads its module where there is one.
fn has_sctp() -> bool {
    let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::SCTP));
    !matches!(socket, Err(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT | Errno::SOCKTNOSUPPORT))
}

/// Binds a socket to the port and lets it go. A protocol or family that this kernel lacks cannot be in use.
fn try_bind(port: &PublishedPort) -> std::result::Result<(), Errno> {
    let family = if port.host_ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, protocol) = match port.protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = match net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol)) {
        Err(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT | Errno::SOCKTNOSUPPORT) => return Ok(()),
        outcome => outcome?,
    };
    if family == AddressFamily::INET6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if port.protocol == Protocol::Tcp {
        // As servers do: connections that linger in TIME_WAIT are no reason to refuse.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    net::bind(&socket, &SocketAddr::new(port.host_ip, port.host_port))?;
    if port.protocol == Protocol::Tcp {
        net::listen(&socket, 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(host_ip: Option<&str>, host_ports: Option<RangeInclusive<u16>>) -> PortMapping {
        PortMapping {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip: host_ip.map(|ip| ip.parse().unwrap()),
            host_ports,
        }
    }

    fn reserve(ports: &mut Ports, wanted: &[PortMapping], id: &str) -> Result<Vec<PublishedPort>> {
        let reach = Reach { default_ip: Ipv4Addr::UNSPECIFIED.into(), ipv4: true, ipv6: false, relay: false };
        ports.reserve(wanted, reach, &Holder::new(id, &format!("name-{id}")))
    }

    #[test]
    fn a_port_that_a_container_holds_names_it() {
        let mut ports = Ports::default();
        let free = reserve(&mut ports, &[mapping(None, None)], "a").unwrap()[0];
        let same = mapping(Some("127.0.0.1"), Some(free.host_port..=free.host_port));
        let error = reserve(&mut ports, std::slice::from_ref(&same), "b").unwrap_err().to_string();
        let wanted = format!("Bind for 127.0.0.1:{} failed: port is already allocated", free.host_port);
        assert!(error.starts_with(&wanted) && error.contains("name-a"), "{error}");
        ports.release(&[free], "a");
        reserve(&mut ports, &[same], "b").unwrap();
    }

    #[test]
    fn a_port_that_a_program_holds_is_refused_and_ranges_pass_over_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap().port();
        let mut ports = Ports::default();
        let error = reserve(&mut ports, &[mapping(None, Some(taken..=taken))], "a").unwrap_err();
        assert!(matches!(error, Error::PortInUse { port, .. } if port == taken));
        if let Ok(found) = reserve(&mut ports, &[mapping(None, Some(taken..=taken.saturating_add(50)))], "a") {
            assert_ne!(found[0].host_port, taken);
        }
    }

    #[test]
    fn a_failed_request_holds_nothing() {
        let mut ports = Ports::default();
        let free = reserve(&mut ports, &[mapping(None, None)], "probe").unwrap()[0].host_port;
        ports = Ports::default();
        let twice = [mapping(None, Some(free..=free)), mapping(None, Some(free..=free))];
        reserve(&mut ports, &twice, "a").unwrap_err();
        assert!(ports.held.is_empty());
        let zero = PortMapping { container_port: 0, ..mapping(None, None) };
        reserve(&mut ports, &[zero], "a").unwrap_err();
    }

    #[test]
    fn a_family_that_the_container_lacks_is_refused_and_one_it_has_is_held_twice() {
        let mut ports = Ports::default();
        let udp = |host_ip| PortMapping { protocol: Protocol::Udp, ..mapping(host_ip, None) };
        let holder = Holder::new("a", "a");
        let reach = |ipv4, ipv6| Reach { default_ip: Ipv4Addr::UNSPECIFIED.into(), ipv4, ipv6, relay: false };
        assert!(ports.reserve(&[udp(Some("::1"))], reach(true, false), &holder).is_err());
        assert!(ports.reserve(&[udp(Some("127.0.0.1"))], reach(false, true), &holder).is_err());
        let both = ports.reserve(&[udp(None)], reach(true, true), &holder).unwrap();
        assert_eq!(both.len(), 2);
        assert_eq!(both[0].host_port, both[1].host_port);
        assert!(both[0].host_ip.is_ipv4() && both[1].host_ip.is_ipv6());
    }

    #[test]
    fn different_addresses_share_a_port() {
        let mut ports = Ports::default();
        let free = reserve(&mut ports, &[mapping(None, None)], "probe").unwrap()[0].host_port;
        ports = Ports::default();
        reserve(&mut ports, &[mapping(Some("127.0.0.1"), Some(free..=free))], "a").unwrap();
        reserve(&mut ports, &[mapping(Some("127.0.0.2"), Some(free..=free))], "b").unwrap();
        reserve(&mut ports, &[mapping(None, Some(free..=free))], "c").unwrap_err();
    }
}
