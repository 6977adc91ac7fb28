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
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::BorrowedFd,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use rustix::io::Errno;

use super::{Given, NetworkDriver, Sweep, failed, null::LOOPBACK};
use crate::{
    Error, Result,
    cidr::Cidr,
    netlink::{
        Family, Refusal, Request, Socket, address,
        link::{self, Counters, Link, VethPair},
        qdisc, route,
    },
    record::{EndpointRecord, GatewayMode, NetworkRecord},
    sysctl,
};

/// Beginning of the names of links on the host; twelve digits of the endpoint's id follow.
const PREFIX: &str = "bv";
/// The bridges' own address on their links, as Docker has it.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const CARRIER_TRIES: u32 = 40;
/// Between two looks for a link that is being removed.
const UNLINK_LOOK: Duration = Duration::from_micros(200);
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
    pub fn used_subnets<A: address::Family>(&self, except: &str) -> Result<Vec<Cidr<A>>> {
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
        if endpoint.ipv6.is_none() {
            // A kernel without IPv6 refuses this one; it has no link-local addresses either.
            let _ = inside.transact(vec![link::without_link_local(index)]);
        }
        let mut requests = vec![link::up(LOOPBACK), link::up(index)];
        requests.extend(addresses(index, network, endpoint));
        requests.extend(endpoint.rates().1.map(|rate| qdisc::limit(index, rate)));
        inside.transact(requests)
    }
}

impl Bridge {
    /// Limits what goes into the container: what leaves the host's end of its pair.
    fn limit(&self, name: &str, endpoint: &EndpointRecord) -> Result<()> {
        let Some(rate) = endpoint.rates().0 else { return Ok(()) };
        let mut socket = self.lock();
        let found = link::find(&mut socket, name).map_err(failed("look for", name))?;
        let Some(found) = found else { return Ok(()) };
        socket.transact(vec![qdisc::limit(found.index, rate)]).map_err(failed("limit the speed of", name))
    }

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

/// Gives the link `index` inside a container its addresses and, where the way out leads through it, its routes.
pub(crate) fn addresses(index: u32, network: &NetworkRecord, endpoint: &EndpointRecord) -> Vec<Request> {
    let mut requests = Vec::new();
    let is_way_out = endpoint.is_gateway && !network.internal;
    if let (Some(ipv4), Some(subnet)) = (endpoint.ipv4, &network.subnet) {
        requests.push(address::add(index, ipv4, subnet.subnet));
        if is_way_out && network.gateway_mode != GatewayMode::Isolated {
            requests.push(route::add_default(index, subnet.gateway));
        }
    }
    if let (Some(ipv6), Some(subnet)) = (endpoint.ipv6, &network.subnet6) {
        requests.push(address::add6(index, ipv6, subnet.subnet.prefix()));
        if is_way_out && network.gateway_mode6 != GatewayMode::Isolated {
            requests.push(route::add_default(index, subnet.gateway));
        }
    }
    requests
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
        let gateway = network.subnet.as_ref().map(|subnet| subnet.gateway);
        let gateway6 = network.subnet6.as_ref().map(|subnet| subnet.gateway);
        let mac = mac_of(gateway, gateway6);
        let found = match link::find(&mut socket, name).map_err(failed("look for", name))? {
            Some(found) => Some(found),
            None if rename_back(&mut socket, name, mac)? => {
                link::find(&mut socket, name).map_err(failed("look for", name))?
            }
            None => match socket.transact(vec![link::add_bridge(name, mac, network.mtu)]) {
                Err(refusal) if !refusal.is(Errno::EXIST) => return Err(failed("create bridge", name)(refusal)),
                _ => link::find(&mut socket, name).map_err(failed("look for", name))?,
            },
        };
        let bridge = found.filter(|link| link.kind == "bridge").ok_or(Error::NotBridge { name: name.to_owned() })?;
        let _ = socket.transact(vec![link::without_link_local(bridge.index)]);
        let mut requests = vec![link::up(bridge.index)];
        let bare = network.inhibit_ipv4 || network.gateway_mode == GatewayMode::Isolated;
        if let Some(subnet) = network.subnet.as_ref().filter(|_| !bare) {
            requests.push(address::add(bridge.index, subnet.gateway, subnet.subnet));
        }
        if let Some(subnet) = network.subnet6.as_ref().filter(|_| network.gateway_mode6 != GatewayMode::Isolated) {
            requests.push(address::add6(bridge.index, subnet.gateway, subnet.subnet.prefix()));
            // A router asks for its neighbours' hardware addresses from an address of the link's own.
            requests.push(address::add6(bridge.index, LINK_LOCAL, 64));
        }
        socket.transact(requests).map_err(failed("set up bridge", name))?;
        drop(socket);
        if !network.internal && network.subnet.is_some() {
            sysctl::write(&setting("ipv4", name, "route_localnet"), "1")?;
        }
        if network.subnet6.is_some() {
            // A container must not tell the host where to go.
            sysctl::write(&setting("ipv6", name, "accept_ra"), "0")?;
        }
        Ok(())
    }

    fn remove(&self, network: &NetworkRecord) -> Result<()> {
        if network.bridge_is_foreign {
            return Ok(());
        }
        remove_link(&mut self.remover(), &network.bridge)
    }

    fn join(
        &self,
        network: &NetworkRecord,
        endpoint: &EndpointRecord,
        namespace: BorrowedFd<'_>,
    ) -> Result<Option<Given>> {
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
            self.limit(name, endpoint)?;
            self.await_carrier(name)?;
            // A bridge without ports carries nothing; this may be its first.
            if bridge.operating { Ok(()) } else { self.await_carrier(&bridge.name) }
        });
        wired.map(|()| None).inspect_err(|_| {
            if let Err(error) = remove_link(&mut self.remover(), name) {
                tracing::warn!(%error, link = name, "half-made veth pair stays");
            }
        })
    }

    /// The container's end is removed there: whoever renamed the host's end has not hidden it.
    fn unplug(&self, _: &NetworkRecord, endpoint: &EndpointRecord, namespace: BorrowedFd<'_>) -> Result<()> {
        let outside = link::find(&mut self.lock(), &endpoint.host_ifname);
        if outside.map_err(failed("look for", &endpoint.host_ifname))?.is_some() {
            return Ok(());
        }
        let mut inside = Socket::open_in(namespace, Family::Route)
            .map_err(failed("look into the container of", &endpoint.host_ifname))?;
        let links = link::list(&mut inside).map_err(failed("list links beside", &endpoint.ifname))?;
        let own = links.iter().find(|link| link.kind == "veth" && link.mac == endpoint.mac);
        own.map_or(Ok(()), |link| remove_link(&mut inside, &link.name))
    }

    /// The kernel takes a link out of sight at once, and then makes whoever removes it wait for some 20 ms until nobody
    /// can hold it any more. So a thread waits, and this returns when the link is gone for everybody else.
    fn leave(&self, _: &NetworkRecord, endpoint: &EndpointRecord) -> Result<()> {
        let name = endpoint.host_ifname.clone();
        let found = link::find(&mut self.lock(), &name).map_err(failed("look for", &name))?;
        let Some(index) = found.map(|link| link.index) else { return Ok(()) };
        let (tell, told) = mpsc::channel();
        let remove = move || {
            let removed = Socket::open(Family::Route).and_then(|mut socket| {
                match socket.transact(vec![link::remove_index(index)]) {
                    Err(refusal) if !refusal.is(Errno::NODEV) => Err(refusal),
                    _ => Ok(()),
                }
            });
            // Nobody listens any more once the link is out of sight.
            let _ = tell.send(removed.map_err(failed("remove", &name)));
        };
        let thread = std::thread::Builder::new().name("berth-unlink".to_owned()).stack_size(128 * 1024);
        if thread.spawn(remove).is_err() {
            return remove_link(&mut self.remover(), &endpoint.host_ifname);
        }
        loop {
            match told.recv_timeout(UNLINK_LOOK) {
                Ok(outcome) => return outcome,
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Error::BrokenOff),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            let found = link::find(&mut self.lock(), &endpoint.host_ifname);
            if found.map_err(failed("look for", &endpoint.host_ifname))?.is_none() {
                return Ok(());
            }
        }
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

/// The hardware address that belongs to these addresses: locally administered, the same for the same ones, so that no
/// neighbour remembers a wrong one when an address is given out again.
#[must_use]
pub fn mac_of(ipv4: Option<Ipv4Addr>, ipv6: Option<Ipv6Addr>) -> [u8; 6] {
    let [a, b, c, d] = match (ipv4, ipv6) {
        (Some(address), _) => address.octets(),
        (None, Some(address)) => {
            // Each bit of the address counts: subnets differ in front, hosts at the end.
            let octets = address.octets();
            std::array::from_fn(|at| octets[at] ^ octets[at + 4] ^ octets[at + 8] ^ octets[at + 12])
        }
        (None, None) => [0; 4],
    };
    [0x02, 0x42, a, b, c, d]
}

/// Whether br_netfilter shows bridged packets to the IP rules. Then a container that asks for its own published port is
/// answered within the bridge, which needs a port that sends frames back.
fn bridged_packets_meet_rules() -> bool {
    sysctl::read("net/bridge/bridge-nf-call-iptables").is_ok_and(|value| value == "1")
}

/// Gives a bridge that somebody renamed its name again: it is known by its hardware address. Whether there was one.
fn rename_back(socket: &mut Socket, name: &str, mac: [u8; 6]) -> Result<bool> {
    let links = link::list(socket).map_err(failed("look for", name))?;
    let is_it = |link: &&Link| link.kind == "bridge" && link.mac == mac;
    let Some(renamed) = links.iter().find(is_it) else { return Ok(false) };
    tracing::warn!(link = renamed.name, name, "a network's bridge was renamed; it gets its name back");
    let outcome = socket.transact(vec![link::rename(renamed.index, name)]).or_else(|_| {
        // Older kernels rename no link that is up.
        socket.transact(vec![link::down(renamed.index)])?;
        socket.transact(vec![link::rename(renamed.index, name)])
    });
    outcome.map(|()| true).map_err(failed("rename", name))
}

/// Path of a link's setting; a dot in its name stays one.
fn setting(family: &str, link: &str, key: &str) -> String {
    format!("net/{family}/conf/{link}/{key}")
}

pub(super) fn remove_link(socket: &mut Socket, name: &str) -> Result<()> {
    match socket.transact(vec![link::remove(name)]) {
        Err(refusal) if !refusal.is(Errno::NODEV) => Err(failed("remove", name)(refusal)),
        _ => Ok(()),
    }
}
