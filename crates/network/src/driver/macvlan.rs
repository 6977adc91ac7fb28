//! macvlan and ipvlan: containers stand in the host's own network, each with a link that hangs on one of the host's.
//!
//! ```text
//!   container's namespace            host
//!   eth0 192.168.7.40/24 ─ macvlan ─┐
//!   eth0 192.168.7.41/24 ─ macvlan ─┴─ eth0 ── switch, router
//! ```
//!
//! Nothing of a container is on the host, so nothing is left there when its namespace goes. The host itself does not
//! reach containers of such a network over the parent link: that is how these links work.

use std::{
    collections::BTreeMap,
    os::fd::BorrowedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::io::Errno;

use super::{Given, NetworkDriver, Sweep, addresses, bridge::remove_link, failed, null::LOOPBACK};
use crate::{
    Error, Result,
    netlink::{
        Family, Refusal, Request, Socket,
        link::{self, Hanging, Kind},
        qdisc, route,
    },
    record::{EndpointRecord, NetworkRecord},
};

/// Option that names the parent link.
const PARENT: &str = "parent";
/// Note on links that the engine made on the host, so that it removes no others.
const OURS: &str = "made by berth";

/// The driver of `macvlan` and `ipvlan`.
#[derive(Debug)]
pub struct Macvlan {
    socket: Mutex<Socket>,
}

/// Reads the options of a new network of this driver into its record.
///
/// # Errors
/// [`Error::Invalid`] by option; [`Error::NoKernelDriver`] where the kernel lacks it.
pub(crate) fn check(network: &mut NetworkRecord, options: &BTreeMap<String, String>) -> Result<()> {
    kind_of(network, options)?;
    let parent = options.get(PARENT).map(String::as_str).unwrap_or_default();
    network.bridge = match parent {
        "" => {
            // As Docker does: containers see each other, and nothing else.
            network.internal = true;
            format!("dm-{}", berth_kit::id::short(&network.id))
        }
        parent if parent.len() <= 15 && !parent.contains(['/', ' ']) => parent.to_owned(),
        parent => {
            return Err(Error::Invalid { field: PARENT, why: format!("{parent:?} is no name of a link") });
        }
    };
    let mut needed = vec![network.driver.clone()];
    if parent.is_empty() {
        needed.push("dummy".to_owned());
    } else if vlan_of(parent).is_some() && !is_there(parent)? {
        needed.push("vlan".to_owned());
    } else if !is_there(parent)? {
        return Err(Error::Invalid { field: PARENT, why: format!("the host has no link {parent}") });
    }
    needed.into_iter().try_for_each(|kind| probe(&kind))
}

fn is_there(name: &str) -> Result<bool> {
    let look =
        || -> std::result::Result<bool, Refusal> { Ok(link::find(&mut Socket::open(Family::Route)?, name)?.is_some()) };
    look().map_err(failed("look for", name))
}

/// Asks the kernel whether it has links of this kind, with a request that lacks what such a link needs.
fn probe(kind: &str) -> Result<()> {
    let name = format!("bprobe{}", std::process::id() % 100_000);
    let outcome = Socket::open(Family::Route)
        .and_then(|mut socket| socket.transact(vec![link::add_plain(&name, kind, "")]).map(|()| socket));
    match outcome {
        // One that needs nothing is made.
        Ok(mut socket) => remove_link(&mut socket, &name),
        Err(refusal) if refusal.is(Errno::OPNOTSUPP) => Err(Error::NoKernelDriver { kind: kind.to_owned() }),
        Err(_) => Ok(()),
    }
}

fn kind_of(network: &NetworkRecord, options: &BTreeMap<String, String>) -> Result<Kind> {
    let option = |key: &str| options.get(key).map(String::as_str).unwrap_or_default();
    let wrong = |field, value: &str| Err(Error::Invalid { field, why: format!("unknown value {value:?}") });
    if network.driver == "macvlan" {
        return Ok(Kind::Macvlan(match option("macvlan_mode") {
            "private" => 1,
            "vepa" => 2,
            "" | "bridge" => 4,
            "passthru" => 8,
            other => return wrong("macvlan_mode", other),
        }));
    }
    let mode = match option("ipvlan_mode") {
        "" | "l2" => 0,
        "l3" => 1,
        "l3s" => 2,
        other => return wrong("ipvlan_mode", other),
    };
    let flag = match option("ipvlan_flag") {
        "" | "bridge" => 0,
        "private" => 1,
        "vepa" => 2,
        other => return wrong("ipvlan_flag", other),
    };
    Ok(Kind::Ipvlan { mode, flag })
}

/// `eth0.50` is the VLAN 50 of eth0.
fn vlan_of(name: &str) -> Option<(&str, u16)> {
    let (parent, number) = name.rsplit_once('.')?;
    let number = number.parse().ok().filter(|number| (1..4095).contains(number))?;
    (!parent.is_empty()).then_some((parent, number))
}

impl Macvlan {
    /// Opens a socket in the caller's network namespace; changes nothing.
    ///
    /// # Errors
    /// [`Error::Link`].
    pub fn open() -> Result<Self> {
        Ok(Self { socket: Mutex::new(Socket::open(Family::Route).map_err(failed("open", "rtnetlink"))?) })
    }

    fn lock(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the link in the container's namespace under a name that nobody has, and gives it its own there.
    fn hang(
        &self,
        network: &NetworkRecord,
        endpoint: &EndpointRecord,
        namespace: BorrowedFd<'_>,
        parent: u32,
    ) -> Result<()> {
        let kind = kind_of(network, &network.options)?;
        let name = super::Bridge::host_ifname(&endpoint.id);
        let hanging = Hanging { name: &name, parent, mtu: network.mtu, mac: endpoint.mac, kind, namespace };
        self.lock().transact(vec![link::add_hanging(&hanging)]).map_err(|refusal| {
            if refusal.is(Errno::OPNOTSUPP) {
                return Error::NoKernelDriver { kind: network.driver.clone() };
            }
            failed("make a link on", &network.bridge)(refusal)
        })?;
        let set_up = || -> std::result::Result<(), Refusal> {
            let mut inside = Socket::open_in(namespace, Family::Route)?;
            let absent = Refusal::Socket { act: "find the new link", errno: Errno::NODEV };
            // What an earlier daemon left half done has the name.
            if let Some(old) = link::find(&mut inside, &endpoint.ifname)?.filter(|old| old.kind == network.driver) {
                inside.transact(vec![link::remove(&old.name)])?;
            }
            let index = link::find(&mut inside, &name)?.ok_or(absent)?.index;
            let mut requests = vec![link::rename(index, &endpoint.ifname), link::up(LOOPBACK), link::up(index)];
            if matches!(kind, Kind::Ipvlan { mode: 1 | 2, .. }) {
                requests.extend(addresses(index, network, &EndpointRecord { is_gateway: false, ..endpoint.clone() }));
                requests.extend(endpoint.ipv4.map(|_| route::add_default_on_link(index, true)));
                requests.extend(endpoint.ipv6.map(|_| route::add_default_on_link(index, false)));
            } else {
                requests.extend(addresses(index, network, endpoint));
            }
            requests.extend(endpoint.rates().1.map(|rate| qdisc::limit(index, rate)));
            inside.transact(requests)
        };
        set_up().map_err(failed("set up the container's link on", &network.bridge)).inspect_err(|_| {
            let undo = Socket::open_in(namespace, Family::Route).and_then(|mut inside| {
                // Under whichever of its names it stands there.
                let _ = inside.transact(vec![link::remove(&name)]);
                inside.transact(vec![link::remove(&endpoint.ifname)])
            });
            if let Err(error) = undo.or_else(|error| if error.is(Errno::NODEV) { Ok(()) } else { Err(error) }) {
                tracing::warn!(%error, "half-made link stays in its container");
            }
        })
    }
}

impl NetworkDriver for Macvlan {
    fn name(&self) -> &'static str {
        "macvlan"
    }

    fn exists(&self, network: &NetworkRecord) -> Result<bool> {
        let found = link::find(&mut self.lock(), &network.bridge).map_err(failed("look for", &network.bridge))?;
        Ok(found.is_some_and(|link| link.alias == OURS))
    }

    fn ensure(&self, network: &NetworkRecord) -> Result<()> {
        let name = network.bridge.as_str();
        let mut socket = self.lock();
        let look = |socket: &mut Socket, name: &str| link::find(socket, name).map_err(failed("look for", name));
        if look(&mut socket, name)?.is_none() {
            let request: Request = if network.options.get(PARENT).is_none_or(String::is_empty) {
                link::add_plain(name, "dummy", OURS)
            } else if let Some((parent, number)) = vlan_of(name) {
                let parent = look(&mut socket, parent)?.ok_or_else(|| absent(parent))?;
                link::add_vlan(name, parent.index, number, OURS)
            } else {
                return Err(absent(name));
            };
            socket.transact(vec![request]).map_err(failed("make the parent link", name))?;
        }
        let parent = look(&mut socket, name)?.ok_or_else(|| absent(name))?;
        socket.transact(vec![link::up(parent.index)]).map_err(failed("bring up", name))
    }

    fn remove(&self, network: &NetworkRecord) -> Result<()> {
        if self.exists(network)? { remove_link(&mut self.lock(), &network.bridge) } else { Ok(()) }
    }

    fn join(
        &self,
        network: &NetworkRecord,
        endpoint: &EndpointRecord,
        namespace: BorrowedFd<'_>,
    ) -> Result<Option<Given>> {
        self.ensure(network)?;
        let parent = link::find(&mut self.lock(), &network.bridge).map_err(failed("look for", &network.bridge))?;
        let parent = parent.ok_or_else(|| absent(&network.bridge))?;
        self.hang(network, endpoint, namespace, parent.index).map(|()| None)
    }

    fn leave(&self, _: &NetworkRecord, _: &EndpointRecord) -> Result<()> {
        Ok(())
    }

    fn unplug(&self, _: &NetworkRecord, endpoint: &EndpointRecord, namespace: BorrowedFd<'_>) -> Result<()> {
        let mut inside = Socket::open_in(namespace, Family::Route)
            .map_err(failed("look into the container of", &endpoint.ifname))?;
        remove_link(&mut inside, &endpoint.ifname)
    }

    fn sweep(&self, _: &NetworkRecord, _: &[EndpointRecord]) -> Result<Sweep> {
        Ok(Sweep::default())
    }
}

fn absent(name: &str) -> Error {
    failed("find parent link", name)(Refusal::Socket { act: "look", errno: Errno::NODEV })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlans_are_read_from_the_name() {
        assert_eq!(vlan_of("eth0.50"), Some(("eth0", 50)));
        assert_eq!(vlan_of("a.b.7"), Some(("a.b", 7)));
        for none in ["eth0", "eth0.", ".5", "eth0.0", "eth0.4095", "eth0.x"] {
            assert_eq!(vlan_of(none), None, "{none}");
        }
    }
}
