//! A container joins a network: address and ports are reserved, the record is written, links and rules follow. Each
//! step that fails undoes those before it.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsFd,
    path::PathBuf,
    sync::Arc,
};

use berth_kit::id;
use berth_record::Durability;

use crate::{
    Error, Result,
    cidr::Address,
    driver::{Bridge, mac_of},
    ipam::{Pool, Unavailable},
    netlink::qdisc::parse_rate,
    networks::{Networks, Shared, blocking},
    port::{Holder, PortMapping, PublishedPort, Reach},
    record::{self, EndpointRecord, Given, NetworkRecord, Subnet, mac_text},
    settle::At,
    state::State,
};

/// Option of an endpoint that names its link inside the container.
const IFNAME: &str = "com.docker.network.endpoint.ifname";

/// Option of a network that names the beginning of its links' names inside containers.
pub(crate) const IFPREFIX: &str = "com.docker.network.container_iface_prefix";

/// A container's network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Netns {
    /// That of a process.
    Pid(u32),
    /// A namespace file.
    Path(PathBuf),
}

impl Netns {
    pub(crate) fn open(&self) -> Result<File> {
        let path = match self {
            Self::Pid(pid) => PathBuf::from(format!("/proc/{pid}/ns/net")),
            Self::Path(path) => path.clone(),
        };
        File::open(&path).map_err(|source| Error::Namespace { path, source })
    }
}

/// A container that wants to join a network.
#[derive(Debug, Clone)]
pub struct AttachRequest {
    /// Full id of the container.
    pub container_id: String,
    /// Its name, without a slash.
    pub container_name: String,
    /// Id or name of the network.
    pub network: String,
    /// Where its links go; not looked at for the network `host`.
    pub netns: Netns,
    /// Hardware address; made from the IP address when `None`.
    pub mac: Option<[u8; 6]>,
    /// IPv4 address; the lowest free one when `None`.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6 address; the lowest free one when `None`, on a network with IPv6.
    pub ipv6: Option<Ipv6Addr>,
    /// Ports to publish.
    pub ports: Vec<PortMapping>,
    /// Other names of the container on this network.
    pub aliases: Vec<String>,
    /// Its host name, under which others on the network find it too; may be empty.
    pub host_name: String,
    /// Containers that this one, and nobody else, finds under names of its own: (container, name).
    pub links: Vec<(String, String)>,
    /// Of a container's networks that with the highest is its way out; among equals the first by name.
    pub gateway_priority: i64,
    /// The driver's options for this endpoint.
    pub driver_options: BTreeMap<String, String>,
}

impl AttachRequest {
    /// A request with nothing special in it.
    #[must_use]
    pub fn new(container_id: &str, container_name: &str, network: &str, netns: Netns) -> Self {
        Self {
            container_id: container_id.to_owned(),
            container_name: container_name.to_owned(),
            network: network.to_owned(),
            netns,
            mac: None,
            ipv4: None,
            ipv6: None,
            ports: Vec::new(),
            aliases: Vec::new(),
            host_name: String::new(),
            links: Vec::new(),
            gateway_priority: 0,
            driver_options: BTreeMap::new(),
        }
    }
}

/// A container's place on a network, as the container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The network's full id.
    pub network_id: String,
    /// The network's name.
    pub network_name: String,
    /// Full id of the endpoint.
    pub endpoint_id: String,
    /// The link's name in the container (`eth0`); empty for `host` and `none`.
    pub ifname: String,
    /// Hardware address as text; empty for `host` and `none`.
    pub mac: String,
    /// IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Prefix length of the network in bits; 0 without an address.
    pub prefix: u8,
    /// The network's gateway.
    pub gateway: Option<Ipv4Addr>,
    /// IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Prefix length of the network's IPv6 subnet in bits; 0 without an address.
    pub prefix6: u8,
    /// The network's IPv6 gateway.
    pub gateway6: Option<Ipv6Addr>,
    /// Name servers of the network's own; empty: those of the host (see [`crate::resolv_conf`]).
    pub dns: Vec<IpAddr>,
    /// Ports of the host that lead to the container.
    pub published: Vec<PublishedPort>,
    /// Other names of the container on this network.
    pub aliases: Vec<String>,
}

impl Networks {
    /// Joins a container to a network.
    ///
    /// # Errors
    /// What hinders it, in Docker's words where it has some; then nothing of the endpoint is left.
    pub async fn attach(&self, request: AttachRequest) -> Result<Endpoint> {
        // A container that starts again gets its former address if nobody else has it.
        self.settle_those(|leaving| leaving.container_id == request.container_id).await;
        let outcome = self.attach_now(&request).await;
        let (network, mut endpoint) = match outcome {
            // Addresses that are on their way back count as free.
            Err(Error::Exhausted { .. }) => {
                self.settle().await;
                self.attach_now(&request).await?
            }
            other => other?,
        };
        if let Some((port, source)) = self.shared.relay(&mut endpoint).await {
            self.leave(endpoint, At::Once).await?;
            return Err(Error::PortInUse {
                host_ip: port.host_ip,
                port: port.host_port,
                protocol: port.protocol.name(),
                source,
            });
        }
        self.shared.announce(&network.id);
        let attributes = [
            ("container", endpoint.container_id.clone()),
            ("name", network.name.clone()),
            ("type", network.driver.clone()),
        ];
        let attributes = BTreeMap::from(attributes.map(|(key, value)| (key.to_owned(), value)));
        self.shared.bus.publish("network", "connect", &network.id, attributes);
        Ok(describe(&network, &endpoint))
    }

    async fn attach_now(&self, request: &AttachRequest) -> Result<(NetworkRecord, EndpointRecord)> {
        let (shared, request) = (Arc::clone(&self.shared), request.clone());
        blocking(move || shared.attach(&request)).await
    }

    /// The endpoint of a container on a network, as the container sees it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotConnected`].
    pub fn endpoint(&self, network: &str, container_id: &str) -> Result<Endpoint> {
        let state = self.shared.lock();
        let network = state.resolve(network)?;
        let found = state.endpoints.values().find(|e| e.network_id == network.id && e.container_id == container_id);
        let endpoint = found.ok_or_else(|| Error::NotConnected {
            container: id::short(container_id).to_owned(),
            network: network.name.clone(),
        })?;
        Ok(describe(network, endpoint))
    }
}

impl Shared {
    fn attach(&self, request: &AttachRequest) -> Result<(NetworkRecord, EndpointRecord)> {
        let (network, endpoint, demoted) = self.lock().reserve(request, |network, own| self.reach(network, own))?;
        let wired = self.save_endpoint(&endpoint).and_then(|()| self.wire(&network, &endpoint, &request.netns));
        match wired.and_then(|given| self.accept(endpoint.clone(), given)) {
            Ok(endpoint) => Ok((network, self.succeed(demoted, endpoint))),
            Err(error) => {
                let known = self.lock().take_out(&endpoint.id);
                known.iter().for_each(|endpoint| self.forget(endpoint));
                if demoted.is_some() {
                    self.elect(&request.container_id, Some(&request.netns));
                }
                Err(error)
            }
        }
    }

    /// The endpoint with what its driver chose for it.
    fn accept(&self, mut endpoint: EndpointRecord, given: Option<Given>) -> Result<EndpointRecord> {
        let Some(given) = given else { return Ok(endpoint) };
        endpoint.ipv4 = given.ipv4.map(|(address, _)| address);
        endpoint.ipv6 = given.ipv6.map(|(address, _)| address);
        endpoint.mac = given.mac.unwrap_or(endpoint.mac);
        endpoint.given = Some(given);
        self.save_endpoint(&endpoint)?;
        self.lock().endpoints.insert(endpoint.id.clone(), endpoint.clone());
        let rules = self.lock().port_rules(&endpoint);
        if !rules.is_empty() {
            self.prepare_rules()?;
            self.change_rules(|firewall| firewall.publish(&rules))?;
        }
        Ok(endpoint)
    }

    fn wire(&self, network: &NetworkRecord, endpoint: &EndpointRecord, netns: &Netns) -> Result<Option<Given>> {
        if network.driver == "host" {
            return Ok(None);
        }
        let namespace = netns.open()?;
        self.prepare(network)?;
        let driver = self.driver(network);
        let given = driver.join(network, endpoint, namespace.as_fd())?;
        let rules = self.lock().port_rules(endpoint);
        if rules.is_empty() {
            return Ok(given);
        }
        self.change_rules(|firewall| firewall.publish(&rules)).map(|()| given).inspect_err(|_| {
            if let Err(error) = driver.leave(network, endpoint) {
                tracing::warn!(%error, endpoint = endpoint.id, "links of a failed endpoint stay");
            }
        })
    }

    /// Gives back the address of an endpoint that is out of the state already, and deletes its record.
    pub fn forget(&self, endpoint: &EndpointRecord) {
        self.lock().release_address(endpoint);
        if let Err(error) = self.store.delete(record::ENDPOINTS, &endpoint.id, Durability::Crash) {
            tracing::error!(%error, "endpoint record stays");
        }
    }

    async fn open_relay(self: &Arc<Self>, port: PublishedPort, at: IpAddr, target: SocketAddr) -> io::Result<()> {
        let shared = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || shared.relays.open(&port, at, target)).await;
        opened.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Carries a port from the machine's network to that of an engine without root.
    async fn carry(self: &Arc<Self>, port: PublishedPort, endpoint: &EndpointRecord) -> io::Result<()> {
        let ipv4 = endpoint.ipv4.map(IpAddr::from);
        let ipv6 = endpoint.ipv6.map(IpAddr::from);
        let target = if port.host_ip.is_ipv6() { ipv6.or(ipv4) } else { ipv4.or(ipv6) };
        let target = target.ok_or(io::ErrorKind::AddrNotAvailable)?;
        self.open_relay(port, port.host_ip, (target, port.container_port).into()).await
    }

    /// Starts the relays of an endpoint's ports, as far as the kernel does not lead there by itself. One whose port cannot
    /// be had is taken off the record; the answer is the first of those without which the endpoint is not what was asked for.
    pub async fn relay(self: &Arc<Self>, endpoint: &mut EndpointRecord) -> Option<(PublishedPort, io::Error)> {
        let before = endpoint.ports.len();
        let mut missed = None;
        let ports = std::mem::take(&mut endpoint.ports);
        for port in ports {
            if self.relays.carry_all() {
                match self.carry(port, endpoint).await {
                    Ok(()) => endpoint.ports.push(port),
                    Err(error) => {
                        self.lock().ports.release(&[port], &endpoint.container_id);
                        missed = missed.or(Some((port, error)).filter(|(port, _)| port.host_ip.is_ipv4()));
                    }
                }
                continue;
            }
            let is_kept = match (port.host_ip, endpoint.ipv4, endpoint.ipv6) {
                (IpAddr::V6(at), _, Some(ipv6)) => {
                    if self.config.userland_proxy && (at.is_unspecified() || at.is_loopback()) {
                        let target = (ipv6, port.container_port).into();
                        // What is missing is only the way from the host itself.
                        let _ = self.open_relay(port, Ipv6Addr::LOCALHOST.into(), target).await;
                    }
                    true
                }
                (IpAddr::V6(at), Some(ipv4), None) => {
                    self.open_relay(port, at.into(), (ipv4, port.container_port).into()).await.is_ok()
                }
                (IpAddr::V6(_), None, None) => false,
                (IpAddr::V4(_), ..) => true,
            };
            if is_kept {
                endpoint.ports.push(port);
            } else {
                self.lock().ports.release(&[port], &endpoint.container_id);
            }
        }
        if endpoint.ports.len() != before {
            self.lock().endpoints.insert(endpoint.id.clone(), endpoint.clone());
            if let Err(error) = self.save_endpoint(endpoint) {
                tracing::warn!(%error, "endpoint record keeps a port that is not relayed");
            }
        }
        missed
    }
}

impl State {
    /// Takes an address and ports, and enters the endpoint.
    ///
    /// The third value is the endpoint that is no longer the container's way out.
    fn reserve(
        &mut self,
        request: &AttachRequest,
        reach: impl FnOnce(&NetworkRecord, &EndpointRecord) -> Reach,
    ) -> Result<(NetworkRecord, EndpointRecord, Option<EndpointRecord>)> {
        let network = self.resolve(&request.network)?.clone();
        if network.template.is_some() {
            return Err(Error::OnlyTemplate { name: network.name });
        }
        let of_container = || self.endpoints.values().filter(|e| e.container_id == request.container_id);
        if of_container().any(|endpoint| endpoint.network_id == network.id) {
            return Err(Error::AlreadyConnected {
                container: request.container_name.clone(),
                network: network.name.clone(),
            });
        }
        check_rates(request, &network)?;
        let mut endpoint = self.draft_endpoint(request, &network);
        if !network.is_wired() && network.driver != "cni" {
            self.endpoints.insert(endpoint.id.clone(), endpoint.clone());
            return Ok((network, endpoint, None));
        }
        self.take_addresses(&network, request, &mut endpoint)?;
        let own_mac = || if network.is_wired() { mac_of(endpoint.ipv4, endpoint.ipv6) } else { [0; 6] };
        endpoint.mac = request.mac.unwrap_or_else(own_mac);
        let reach = reach(&network, &endpoint);
        let holder = Holder::new(&request.container_id, &request.container_name);
        match self.ports.reserve(&request.ports, reach, &holder) {
            Ok(ports) => endpoint.ports = ports,
            Err(error) => {
                self.release_address(&endpoint);
                let (container, endpoint) = (endpoint.container_name, endpoint.id);
                return Err(Error::Publish { container, endpoint, source: Box::new(error) });
            }
        }
        self.endpoints.insert(endpoint.id.clone(), endpoint.clone());
        let demoted = self.elect(&request.container_id);
        endpoint.is_gateway = self.endpoints.get(&endpoint.id).is_some_and(|endpoint| endpoint.is_gateway);
        Ok((network, endpoint, demoted))
    }

    fn draft_endpoint(&self, request: &AttachRequest, network: &NetworkRecord) -> EndpointRecord {
        let id = id::generate();
        let wired: Vec<_> = self
            .endpoints
            .values()
            .filter(|endpoint| endpoint.container_id == request.container_id && endpoint.is_wired())
            .collect();
        let is_free = |name: &String| wired.iter().all(|endpoint| endpoint.ifname != *name);
        let prefix = network.options.get(IFPREFIX).map_or("eth", String::as_str);
        let mut names = request.driver_options.get(IFNAME).cloned().into_iter();
        let ifname = names.next().or_else(|| (0..=wired.len()).map(|number| format!("{prefix}{number}")).find(is_free));
        let ifname = ifname.unwrap_or_default();
        let has_link = network.is_wired() || network.driver == "cni";
        EndpointRecord {
            version: record::VERSION,
            network_id: network.id.clone(),
            container_id: request.container_id.clone(),
            container_name: request.container_name.clone(),
            ifname: if has_link { ifname } else { String::new() },
            host_ifname: if network.driver == "bridge" { Bridge::host_ifname(&id) } else { String::new() },
            id,
            mac: [0; 6],
            ipv4: None,
            ipv6: None,
            is_gateway: false,
            gateway_priority: request.gateway_priority,
            aliases: request.aliases.clone(),
            host_name: request.host_name.clone(),
            links: request.links.clone(),
            driver_options: request.driver_options.clone(),
            given: None,
            ports: Vec::new(),
        }
    }

    /// An address of each of the network's families; both or none.
    fn take_addresses(
        &mut self,
        network: &NetworkRecord,
        request: &AttachRequest,
        endpoint: &mut EndpointRecord,
    ) -> Result<()> {
        if network.driver == "cni" {
            // Its plugins decide; some can be asked for an address.
            (endpoint.ipv4, endpoint.ipv6) = (request.ipv4, request.ipv6);
            return Ok(());
        }
        if let Some(subnet) = &network.subnet {
            endpoint.ipv4 = Some(take(self.pools.get_mut(&network.id), network, subnet, request.ipv4)?);
        } else if let Some(address) = request.ipv4 {
            return Err(Error::WrongFamily { network: network.name.clone(), address: address.into() });
        }
        let ipv6 = match (&network.subnet6, request.ipv6) {
            (Some(subnet), wanted) => take(self.pools6.get_mut(&network.id), network, subnet, wanted).map(Some),
            (None, Some(address)) => Err(Error::WrongFamily { network: network.name.clone(), address: address.into() }),
            (None, None) => Ok(None),
        };
        endpoint.ipv6 = ipv6.inspect_err(|_| self.release_address(endpoint))?;
        Ok(())
    }

    /// Takes an endpoint out and gives its ports back; its address stays taken.
    pub fn take_out(&mut self, endpoint_id: &str) -> Option<EndpointRecord> {
        let endpoint = self.endpoints.remove(endpoint_id)?;
        self.ports.release(&endpoint.ports, &endpoint.container_id);
        Some(endpoint)
    }

    fn release_address(&mut self, endpoint: &EndpointRecord) {
        if let (Some(pool), Some(ipv4)) = (self.pools.get_mut(&endpoint.network_id), endpoint.ipv4) {
            pool.release(ipv4);
        }
        if let (Some(pool), Some(ipv6)) = (self.pools6.get_mut(&endpoint.network_id), endpoint.ipv6) {
            pool.release(ipv6);
        }
    }
}

/// Refuses limits that cannot be read, or that the network's driver cannot keep.
fn check_rates(request: &AttachRequest, network: &NetworkRecord) -> Result<()> {
    for (field, works) in [
        (record::RATE_IN, network.driver == "bridge"),
        (record::RATE_OUT, matches!(network.driver.as_str(), "bridge" | "macvlan" | "ipvlan")),
    ] {
        let Some(text) = request.driver_options.get(field) else { continue };
        let refuse = |why: String| Err(Error::Invalid { field, why });
        if !works {
            return refuse(format!("the driver {} of network {} cannot limit it", network.driver, network.name));
        }
        if parse_rate(text).is_none() {
            return refuse(format!("{text:?} is no rate in bits per second, such as 10m, 500k or 1.5gbit"));
        }
    }
    Ok(())
}

fn take<A: Address>(
    pool: Option<&mut Pool<A>>,
    network: &NetworkRecord,
    subnet: &Subnet<A>,
    wanted: Option<A>,
) -> Result<A> {
    let pool = pool.ok_or_else(|| Error::NotFound { name: network.name.clone() })?;
    let outcome = match wanted {
        Some(address) => pool.take(address).map(|()| address),
        None => pool.take_any(),
    };
    outcome.map_err(|reason| match (reason, wanted) {
        (Unavailable::Taken, Some(address)) => {
            Error::AddressTaken { network: network.name.clone(), address: address.into() }
        }
        (Unavailable::Outside, Some(address)) => Error::Invalid {
            field: if A::BITS == 32 { "IPAMConfig.IPv4Address" } else { "IPAMConfig.IPv6Address" },
            why: format!(
                "no configured subnet or ip-range contain the IP address {address} (network {} is {})",
                network.name, subnet.subnet
            ),
        },
        _ => Error::Exhausted {
            network: network.name.clone(),
            family: if A::BITS == 32 { "IPv4" } else { "IPv6" },
            subnet: subnet.ip_range.unwrap_or(subnet.subnet).to_string(),
        },
    })
}

fn describe(network: &NetworkRecord, endpoint: &EndpointRecord) -> Endpoint {
    let (subnet, subnet6) = (network.subnet.as_ref(), network.subnet6.as_ref());
    let given = endpoint.given.clone().unwrap_or_default();
    let prefix = given.ipv4.map(|(_, prefix)| prefix).or(subnet.map(|subnet| subnet.subnet.prefix()));
    let prefix6 = given.ipv6.map(|(_, prefix)| prefix).or(subnet6.map(|subnet| subnet.subnet.prefix()));
    Endpoint {
        network_id: network.id.clone(),
        network_name: network.name.clone(),
        endpoint_id: endpoint.id.clone(),
        ifname: endpoint.ifname.clone(),
        mac: if endpoint.is_wired() { mac_text(endpoint.mac) } else { String::new() },
        ipv4: endpoint.ipv4,
        prefix: prefix.unwrap_or(0),
        gateway: given.gateway.or(subnet.map(|subnet| subnet.gateway)),
        ipv6: endpoint.ipv6,
        prefix6: prefix6.unwrap_or(0),
        gateway6: given.gateway6.or(subnet6.map(|subnet| subnet.gateway)),
        dns: Vec::new(),
        published: endpoint.ports.clone(),
        aliases: endpoint.aliases.clone(),
    }
}
