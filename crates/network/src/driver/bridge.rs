//! A Linux bridge on the host, and a veth pair for each container.
//!
//! ```text
//!   container's namespace          host
//!   eth0 172.17.0.2/16 ═══ bv1a2b3c4d5e6f ─┐
//!   eth0 172.17.0.3/16 ═══ bv0f1e2d3c4b5a ─┴─ berth0 172.17.0.1/16 ── rules ── the host's own links
//! ```
//!
//! A join is one message on the host (both ends made, the far one already in its namespace, the near one up and on
//! the bridge) and one batch inside the namespace.

use std::{
    collections::HashSet,
    os::fd::BorrowedFd,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::io::Errno;

use super::{NetworkDriver, Sweep, null::LOOPBACK};
use crate::{
    Error, Result,
    cidr::Cidr,
    netlink::{
        Family, Refusal, Socket, address,
        link::{self, Counters, Link, VethPair},
        route,
    },
    record::{EndpointRecord, NetworkRecord},
    sysctl,
};

/// Beginning of the names of links on the host; twelve digits of the endpoint's id follow.
const PREFIX: &str = "bv";
const CARRIER_TRIES: u32 = 40;
const CARRIER_PAUSE: Duration = Duration::from_micros(250);

/// The bridge driver.
#[derive(Debug)]
pub struct Bridge {
    socket: Mutex<Socket>,
    /// Removing a link makes its caller wait for the kernel's grace periods, some 20 ms; others must not wait along.
    remover: Mutex<Socket>,
}

impl Bridge {
    /// Opens a socket in the caller's network namespace; changes nothing.
    ///
    /// # Errors
    /// [`Error::Link`].
    pub fn open() -> Result<Self> {
        let open = || Socket::open(Family::Route).map_err(failed("open", "rtnetlink"));
        Ok(Self { socket: Mutex::new(open()?), remover: Mutex::new(open()?) })
    }

    /// Name of the link on the host for the endpoint `id`.
    #[must_use]
    pub fn host_ifname(id: &str) -> String {
        format!("{PREFIX}{}", berth_kit::id::short(id))
    }

    /// What went through the link `name` of the host; nothing when it is absent.
    ///
    /// # Errors
    /// [`Error::Link`].
    pub fn counters(&self, name: &str) -> Result<Counters> {
        let found = link::find(&mut self.lock(), name).map_err(failed("look for", name))?;
        Ok(found.map(|link| link.counters).unwrap_or_default())
    }

    /// All subnets that the host reaches or has, but those of the link `except`.
    ///
    /// # Errors
    /// [`Error::Link`].
    pub fn used_subnets(&self, except: &str) -> Result<Vec<Cidr>> {
        let mut socket = self.lock();
        let index = link::find(&mut socket, except).map_err(failed("look for", except))?.map_or(0, |link| link.index);
        let routes = route::destinations(&mut socket).map_err(failed("list routes beside", except))?;
        let addresses = address::list(&mut socket).map_err(failed("list addresses beside", except))?;
        let addresses = addresses.into_iter().map(|(link, _, subnet)| (subnet, link));
        Ok(routes.into_iter().chain(addresses).filter(|(_, link)| *link != index).map(|(subnet, _)| subnet).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remover(&self) -> MutexGuard<'_, Socket> {
        self.remover.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The network's bridge, up and addressed, made or mended where needed.
    fn ready(&self, network: &NetworkRecord) -> Result<Link> {
        let name = &network.bridge;
        let look = || link::find(&mut self.lock(), name).map_err(failed("look for", name));
        match look()? {
            Some(found) if found.up && found.kind == "bridge" => Ok(found),
            _ => {
                self.ensure(network)?;
                look()?.ok_or_else(|| failed("find", name)(Refusal::Socket { act: "look", errno: Errno::NODEV }))
            }
        }
    }

    fn wire(
        &self,
        network: &NetworkRecord,
        endpoint: &EndpointRecord,
        namespace: BorrowedFd<'_>,
    ) -> std::result::Result<(), Refusal> {
        let mut inside = Socket::open_in(namespace, Family::Route)?;
        let absent = Refusal::Socket { act: "find the new link", errno: Errno::NODEV };
        let index = link::find(&mut inside, &endpoint.ifname)?.ok_or(absent)?.index;
        // A kernel without IPv6 refuses this one; it has no link-local addresses either.
        let _ = inside.transact(vec![link::without_link_local(index)]);
        let mut requests = vec![link::up(LOOPBACK), link::up(index)];
        if let (Some(ipv4), Some(subnet)) = (endpoint.ipv4, &network.subnet) {
            requests.push(address::add(index, ipv4, subnet.subnet));
            if endpoint.is_gateway && !network.internal {
                requests.push(route::add_default(index, subnet.gateway));
            }
        }
        inside.transact(requests)
    }
}

impl Bridge {
    /// Waits until the link `name`, a port of a bridge or a bridge, carries frames. The kernel notices the new carrier a moment after the other
    /// end came up, and a container's first packet before that would be lost: a second until it is sent again. Linux
    /// 6.8 and later catch up when they are asked for the link.
    fn await_carrier(&self, name: &str) -> Result<()> {
        for _ in 0..CARRIER_TRIES {
            let found = link::find(&mut self.lock(), name).map_err(failed("look for", name))?;
            if found.is_none_or(|link| link.operating) {
                break;
            }
            std::thread::sleep(CARRIER_PAUSE);
        }
        Ok(())
    }
}

impl NetworkDriver for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn exists(&self, network: &NetworkRecord) -> Result<bool> {
        let found = link::find(&mut self.lock(), &network.bridge).map_err(failed("look for", &network.bridge))?;
        Ok(found.is_some_and(|link| link.kind == "bridge"))
    }

    fn ensure(&self, network: &NetworkRecord) -> Result<()> {
        let name = network.bridge.as_str();
        let mut socket = self.lock();
        let found = match link::find(&mut socket, name).map_err(failed("look for", name))? {
            Some(found) => Some(found),
            None => {
                let gateway = network.subnet.as_ref().map(|subnet| subnet.gateway);
                let mac = mac_of(gateway.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED));
                match socket.transact(vec![link::add_bridge(name, mac, network.mtu)]) {
                    Err(refusal) if !refusal.is(Errno::EXIST) => return Err(failed("create bridge", name)(refusal)),
                    _ => link::find(&mut socket, name).map_err(failed("look for", name))?,
                }
            }
        };
        let bridge = found.filter(|link| link.kind == "bridge").ok_or(Error::NotBridge { name: name.to_owned() })?;
        let _ = socket.transact(vec![link::without_link_local(bridge.index)]);
        let mut requests = vec![link::up(bridge.index)];
        if let Some(subnet) = &network.subnet {
            requests.push(address::add(bridge.index, subnet.gateway, subnet.subnet));
        }
        socket.transact(requests).map_err(failed("set up bridge", name))?;
        drop(socket);
        if !network.internal {
            sysctl::write(&format!("net/ipv4/conf/{name}/route_localnet"), "1")?;
        }
        Ok(())
    }

    fn remove(&self, network: &NetworkRecord) -> Result<()> {
        remove_link(&mut self.remover(), &network.bridge)
    }

    fn join(&self, network: &NetworkRecord, endpoint: &EndpointRecord, namespace: BorrowedFd<'_>) -> Result<()> {
        let bridge = self.ready(network)?;
        let name = endpoint.host_ifname.as_str();
        let pair = VethPair {
            name,
            bridge: bridge.index,
            mtu: network.mtu,
            peer_name: &endpoint.ifname,
            peer_mac: endpoint.mac,
            peer_namespace: namespace,
        };
        let mut requests = vec![link::add_veth(&pair)];
        let hairpin = bridged_packets_meet_rules();
        if hairpin || !network.icc {
            requests.push(link::port_options(name, hairpin, !network.icc));
        }
        let made = self.lock().transact(requests).map_err(failed("create veth pair", name));
        let wired = made.and_then(|()| {
            self.wire(network, endpoint, namespace).map_err(failed("set up the container's side of", name))?;
            self.await_carrier(name)?;
            // A bridge without ports carries nothing; this may be its first.
            if bridge.operating { Ok(()) } else { self.await_carrier(&bridge.name) }
        });
        wired.inspect_err(|_| {
            if let Err(error) = remove_link(&mut self.remover(), name) {
                tracing::warn!(%error, link = name, "half-made veth pair stays");
            }
        })
    }

    fn leave(&self, _: &NetworkRecord, endpoint: &EndpointRecord) -> Result<()> {
        remove_link(&mut self.remover(), &endpoint.host_ifname)
    }

    fn sweep(&self, network: &NetworkRecord, endpoints: &[EndpointRecord]) -> Result<Sweep> {
        let links = link::list(&mut self.lock()).map_err(failed("list links of", &network.bridge))?;
        let bridge = links.iter().find(|link| link.name == network.bridge).map_or(0, |link| link.index);
        let ours =
            |link: &&Link| bridge != 0 && link.master == bridge && link.kind == "veth" && link.name.starts_with(PREFIX);
        let present: HashSet<&str> = links.iter().filter(ours).map(|link| link.name.as_str()).collect();
        let known: HashSet<&str> = endpoints.iter().map(|endpoint| endpoint.host_ifname.as_str()).collect();
        let mut sweep = Sweep::default();
        for name in present.difference(&known) {
            remove_link(&mut self.remover(), name)?;
            sweep.removed.push((*name).to_owned());
        }
        let gone = endpoints.iter().filter(|endpoint| !present.contains(endpoint.host_ifname.as_str()));
        sweep.missing.extend(gone.map(|endpoint| endpoint.id.clone()));
        Ok(sweep)
    }
}

/// The hardware address that belongs to `address`: locally administered, the same for the same address, so that no
/// neighbour remembers a wrong one when an address is given out again.
#[must_use]
pub fn mac_of(address: std::net::Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// Whether br_netfilter shows bridged packets to the IP rules. Then a container that asks for its own published port is
/// answered within the bridge, which needs a port that sends frames back.
fn bridged_packets_meet_rules() -> bool {
    sysctl::read("net/bridge/bridge-nf-call-iptables").is_ok_and(|value| value == "1")
}

fn remove_link(socket: &mut Socket, name: &str) -> Result<()> {
    match socket.transact(vec![link::remove(name)]) {
        Err(refusal) if !refusal.is(Errno::NODEV) => Err(failed("remove", name)(refusal)),
        _ => Ok(()),
    }
}

fn failed(act: &'static str, name: &str) -> impl FnOnce(Refusal) -> Error + use<> {
    let name = name.to_owned();
    move |source| Error::Link { act, name, source }
}
