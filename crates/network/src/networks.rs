//! The noun: which networks exist and which container is where. All state is in memory beside the records; one lock
//! guards it and is never held while the kernel works.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use berth_event::Bus;
use berth_kit::{id, time::Timestamp};
use berth_record::{Durability, Store};
use tokio::sync::broadcast;

use crate::{
    Error, Result,
    config::NetworkConfig,
    driver::{Bridge, Cni, Macvlan, NetworkDriver, Null},
    firewall::{self, Firewall, Keeper, Nftables, Off},
    record::{self, EndpointRecord, GatewayMode, NetworkRecord, Subnet},
    relay::Relays,
    settle::Departures,
    state::State,
    subnet, watch,
};

/// Announcements that a slow listener may have waiting.
const CHANGES: usize = 256;

/// All networks. Clones share them.
#[derive(Debug, Clone)]
pub struct Networks {
    pub(crate) shared: Arc<Shared>,
}

/// A network and who is on it.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The network.
    pub network: NetworkRecord,
    /// Its endpoints, in order of their ids.
    pub endpoints: Vec<EndpointRecord>,
    /// Of each subnet: addresses in use or kept back, and addresses that can be given out.
    pub addresses: Vec<(String, u128, u128)>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub config: NetworkConfig,
    pub store: Store,
    pub bus: Bus,
    pub bridge: Bridge,
    pub macvlan: Macvlan,
    pub firewall: Box<dyn Firewall>,
    pub relays: Relays,
    pub departures: Departures,
    state: Mutex<State>,
    /// Held from reading what is wanted until the kernel has it: an installation of everything and a single change
    /// must not pass each other.
    firewall_gate: Mutex<()>,
    warnings: Mutex<BTreeMap<&'static str, String>>,
    /// Warnings that somebody who ran a container has seen.
    told: Mutex<BTreeSet<String>>,
    watcher: Mutex<Option<tokio::task::AbortHandle>>,
    /// Ids of networks whose names have changed.
    changes: broadcast::Sender<String>,
}

impl Networks {
    /// Reads the records, and makes the records of `bridge`, `host` and `none` where they are missing. Changes nothing
    /// on the host, except that an existing default bridge is mended.
    ///
    /// # Errors
    /// [`Error::Record`], [`Error::Link`] when the kernel has no rtnetlink, [`Error::NoPool`] when no default subnet is
    /// free. A missing packet filter is a warning.
    pub async fn open(config: NetworkConfig, store: Store, bus: Bus) -> Result<Self> {
        let shared = blocking(move || Shared::open(config, store, bus)).await?;
        let networks = Self { shared: Arc::new(shared) };
        if let Some(handle) = watch::start(&networks.shared) {
            *networks.shared.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        }
        Ok(networks)
    }

    /// All networks, in order of their names.
    #[must_use]
    pub fn list(&self) -> Vec<NetworkRecord> {
        let mut all: Vec<_> = self.shared.lock().networks.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The network with this id, name, or unique beginning of an id; `default` means the default bridge.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`].
    pub fn inspect(&self, id_or_name: &str) -> Result<Inspected> {
        let state = self.shared.lock();
        let network = state.resolve(id_or_name)?.clone();
        let endpoints = state.endpoints.values().filter(|e| e.network_id == network.id).cloned().collect();
        let ipv4 = network.subnet.as_ref().zip(state.pools.get(&network.id));
        let ipv6 = network.subnet6.as_ref().zip(state.pools6.get(&network.id));
        let ipv4 = ipv4.map(|(subnet, pool)| (subnet.subnet.to_string(), pool.usage()));
        let ipv6 = ipv6.map(|(subnet, pool)| (subnet.subnet.to_string(), pool.usage()));
        let addresses = ipv4.into_iter().chain(ipv6).map(|(subnet, (used, free))| (subnet, used, free)).collect();
        Ok(Inspected { network, endpoints, addresses })
    }

    /// Everything a container has joined.
    #[must_use]
    pub fn endpoints(&self, container_id: &str) -> Vec<EndpointRecord> {
        self.shared.lock().endpoints.values().filter(|e| e.container_id == container_id).cloned().collect()
    }

    /// Names and addresses that a network's DNS server answers with: containers' names, short ids, host names and
    /// aliases. [`Self::changes`] tells when to ask again; [`Self::endpoints`] has the names that only one container
    /// knows ([`EndpointRecord::links`]).
    #[must_use]
    pub fn names(&self, network_id: &str) -> Vec<(String, IpAddr)> {
        let state = self.shared.lock();
        let on_network = state.endpoints.values().filter(|e| e.network_id == network_id);
        let with_address = on_network.flat_map(|e| {
            let both = [e.ipv4.map(IpAddr::from), e.ipv6.map(IpAddr::from)];
            both.into_iter().flatten().map(move |ip| (e, ip))
        });
        let named = with_address.flat_map(|(e, ip)| {
            let own = [e.container_name.clone(), id::short(&e.container_id).to_owned(), e.host_name.clone()];
            let others = e.aliases.iter().cloned();
            let mut names: Vec<String> = own.into_iter().chain(others).filter(|name| !name.is_empty()).collect();
            names.sort();
            names.dedup();
            names.into_iter().map(move |name| (name, ip))
        });
        named.collect()
    }

    /// Ids of networks whose [names](Self::names) have changed: a container joined or left, or has another name, or the
    /// network came or went. It is told after the fact and in order; a listener that lags behind learns so from the
    /// channel and asks for everything anew.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<String> {
        self.shared.changes.subscribe()
    }

    /// A container has another name.
    ///
    /// # Errors
    /// [`Error::Record`].
    pub async fn rename(&self, container_id: &str, name: &str) -> Result<()> {
        for mut endpoint in self.endpoints(container_id) {
            name.clone_into(&mut endpoint.container_name);
            if let Some(known) = self.shared.lock().endpoints.get_mut(&endpoint.id) {
                known.container_name.clone_from(&endpoint.container_name);
            }
            let shared = Arc::clone(&self.shared);
            self.shared.announce(&endpoint.network_id.clone());
            blocking(move || shared.save_endpoint(&endpoint)).await?;
        }
        self.shared.lock().ports.rename(container_id, name);
        Ok(())
    }

    /// What is amiss on this host, one sentence each, for `info`.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        // Whoever made rules since the daemon's start is told now.
        self.shared.look_for_drops();
        self.shared.known_warnings()
    }

    /// Sentences of [`Self::warnings`] that a container of `network` is the first to be hindered by: each is told once.
    #[must_use]
    pub fn first_warnings(&self, network: &str) -> Vec<String> {
        let Ok(found) = self.inspect(network) else { return Vec::new() };
        if found.network.driver != "bridge" {
            return Vec::new();
        }
        self.shared.foresee(&found.network);
        let mut told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.known_warnings().into_iter().filter(|sentence| told.insert(sentence.clone())).collect()
    }

    /// Name of the packet filter in use, for `info`.
    #[must_use]
    pub fn firewall_name(&self) -> &'static str {
        self.shared.firewall.name()
    }

    /// The daemon ends. When no container is left, the kernel's settings are what they were before the engine changed
    /// them; while some go on, they stay.
    ///
    /// # Errors
    /// [`Error::Setting`], [`Error::Record`].
    pub async fn close(&self) -> Result<()> {
        self.settle().await;
        let in_use = self.shared.lock().endpoints.values().any(EndpointRecord::is_wired);
        if in_use {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.restore_settings()).await
    }

    /// Removes everything that networks have put on the host: links, packet rules, changed settings. Records stay, but
    /// for the endpoints'. For the end of a test, or of the engine on a machine.
    ///
    /// # Errors
    /// The first failure; the rest is tried all the same.
    pub async fn dismantle(&self) -> Result<()> {
        let containers: Vec<String> = self.shared.lock().endpoints.values().map(|e| e.container_id.clone()).collect();
        let mut outcome = Ok(());
        for container_id in containers {
            outcome = outcome.and(self.detach(&container_id).await);
        }
        self.settle().await;
        let shared = Arc::clone(&self.shared);
        outcome.and(blocking(move || shared.dismantle()).await)
    }
}

impl Shared {
    fn open(config: NetworkConfig, store: Store, bus: Bus) -> Result<Self> {
        let mut warnings = BTreeMap::new();
        let firewall: Box<dyn Firewall> = if config.firewall {
            match Nftables::open(&config.table_name(), config.respect_host_input) {
                Ok(firewall) => Box::new(firewall),
                Err(error) => {
                    warnings.insert("firewall", format!("WARNING: published ports do not work: {error}"));
                    Box::new(Off)
                }
            }
        } else {
            Box::new(Off)
        };
        let mut state = State::read(&store)?;
        state.installed = firewall.is_installed().unwrap_or(false);
        let shared = Self {
            relays: Relays::new(config.relay.clone()),
            config,
            store,
            bus,
            bridge: Bridge::open()?,
            macvlan: Macvlan::open()?,
            firewall,
            departures: Departures::default(),
            state: Mutex::new(state),
            firewall_gate: Mutex::new(()),
            warnings: Mutex::new(warnings),
            told: Mutex::default(),
            watcher: Mutex::new(None),
            changes: broadcast::Sender::new(CHANGES),
        };
        shared.default_networks()?;
        shared.look_for_drops();
        Ok(shared)
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        // State changes are single assignments; a panic between two of them is mended by `recover`.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells listeners that the names of a network have changed; nobody listening is no error.
    pub fn announce(&self, network_id: &str) {
        let _ = self.changes.send(network_id.to_owned());
    }

    /// The driver that wires `network`.
    pub fn driver(&self, network: &NetworkRecord) -> &dyn NetworkDriver {
        match network.driver.as_str() {
            "host" => &Null::HOST,
            "null" => &Null::NONE,
            "macvlan" | "ipvlan" => &self.macvlan,
            "cni" => &Cni,
            _ => &self.bridge,
        }
    }

    fn known_warnings(&self) -> Vec<String> {
        let warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.values().cloned().collect()
    }

    pub fn warn(&self, about: &'static str, sentence: String) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).insert(about, sentence);
    }

    pub fn save_network(&self, network: &NetworkRecord) -> Result<()> {
        self.store.put(record::NETWORKS, &network.id, network, &(), Durability::Power)?;
        Ok(())
    }

    pub fn save_endpoint(&self, endpoint: &EndpointRecord) -> Result<()> {
        self.store.put(record::ENDPOINTS, &endpoint.id, endpoint, &(), Durability::Crash)?;
        Ok(())
    }

    /// Makes or mends a network's links, forwarding, and the packet rules if there are none yet.
    pub fn prepare(&self, network: &NetworkRecord) -> Result<()> {
        if network.driver != "bridge" {
            return Ok(());
        }
        self.prepare_rules()?;
        if !network.internal {
            self.forward(network);
        }
        Ok(())
    }

    /// Puts the packet rules in place if there are none yet.
    pub fn prepare_rules(&self) -> Result<()> {
        if !self.lock().installed {
            self.install()?;
            self.look_for_drops();
        }
        Ok(())
    }

    /// Puts all packet rules in place anew.
    pub fn install(&self) -> Result<()> {
        let _gate = self.gate();
        let desired = self.lock().desired();
        self.firewall.install(&desired)?;
        self.lock().installed = true;
        Ok(())
    }

    /// Changes single packet rules; where that fails, everything is installed anew.
    pub fn change_rules(&self, change: impl FnOnce(&dyn Firewall) -> Result<()>) -> Result<()> {
        let outcome = {
            let _gate = self.gate();
            change(self.firewall.as_ref())
        };
        outcome.or_else(|error| {
            tracing::info!(%error, "packet rules are installed anew");
            self.install()
        })
    }

    fn gate(&self) -> MutexGuard<'_, ()> {
        self.firewall_gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Warns of other programs' chains that stop containers' packets, as long as there are any.
    fn look_for_drops(&self) {
        let bridge = &self.config.bridge_name;
        let drops = if self.config.firewall { firewall::foreign_drops(bridge).unwrap_or_default() } else { Vec::new() };
        let Some(firewall::ForeignDrop { table, chain, keeper }) = drops.first() else {
            self.warnings.lock().unwrap_or_else(PoisonError::into_inner).remove("drops");
            return;
        };
        let remedy = match keeper {
            Keeper::Ufw => format!("run `ufw route allow in on {bridge}` and `ufw route allow out on {bridge}`"),
            Keeper::Firewalld => {
                format!(
                    "run `firewall-cmd --permanent --zone=trusted --add-interface={bridge}` and `firewall-cmd --reload`"
                )
            }
            Keeper::Unknown => {
                format!("run `nft insert rule {table} {chain} iifname {bridge} accept` and the same with oifname")
            }
        };
        let sentence = format!(
            "WARNING: chain {chain} of nftables table {table} drops forwarded packets, also those of containers: {remedy}"
        );
        self.warn("drops", sentence);
    }

    fn dismantle(&self) -> Result<()> {
        let mut outcome = self.firewall.clear();
        self.lock().installed = false;
        let networks: Vec<_> = self.lock().networks.values().cloned().collect();
        for network in networks {
            outcome = outcome.and(self.driver(&network).remove(&network));
        }
        outcome.and(self.restore_settings())
    }

    fn default_networks(&self) -> Result<()> {
        for (name, driver) in [("host", "host"), ("none", "null")] {
            if !self.lock().has_name(name) {
                let network = self.draft(name, driver, None);
                self.save_network(&network)?;
                self.lock().add_network(network);
            }
        }
        if self.config.bridge_name == "none" {
            self.lock().networks.retain(|_, network| network.name != "bridge");
            return Ok(());
        }
        let existing = self.lock().networks.values().find(|network| network.name == "bridge").cloned();
        let mut bridge = match &existing {
            Some(network) => network.clone(),
            None => {
                let subnet = match self.config.bip {
                    Some((gateway, subnet)) => subnet::plain(subnet, gateway),
                    None => self.free_subnet(&self.config.bridge_name)?,
                };
                self.draft("bridge", "bridge", Some(subnet))
            }
        };
        // The configuration rules the default bridge, not what an earlier daemon wrote.
        if let Some((gateway, subnet)) = self.config.bip {
            bridge.subnet = Some(subnet::plain(subnet, gateway));
        }
        if let Some(subnet) = &mut bridge.subnet {
            let inside =
                |range: &crate::Cidr| subnet.subnet.overlaps(*range) && range.prefix() >= subnet.subnet.prefix();
            if self.config.fixed_cidr.is_some_and(|range| !inside(&range)) {
                let why = format!("it is not in the default bridge's subnet {}", subnet.subnet);
                return Err(Error::Invalid { field: "fixed-cidr", why });
            }
            subnet.ip_range = self.config.fixed_cidr;
        }
        bridge.subnet6 = match (self.config.ipv6, self.config.bip6) {
            (false, _) => None,
            (true, Some((gateway, subnet))) => Some(subnet::plain(subnet, gateway)),
            (true, None) if bridge.subnet6.is_some() => bridge.subnet6,
            (true, None) => Some(self.free_subnet6(&self.config.bridge_name)?),
        };
        self.config.bridge_name.clone_into(&mut bridge.bridge);
        (bridge.mtu, bridge.icc, bridge.masquerade) = (self.config.mtu, self.config.icc, self.config.ip_masq);
        bridge.host_binding_ip = self.config.host_binding_ip;
        if existing.as_ref() != Some(&bridge) {
            self.save_network(&bridge)?;
            self.lock().add_network(bridge.clone());
        }
        if self.bridge.exists(&bridge)? {
            self.bridge.ensure(&bridge)?;
        }
        Ok(())
    }

    /// A network record with the defaults of its kind.
    pub fn draft(&self, name: &str, driver: &str, subnet: Option<Subnet>) -> NetworkRecord {
        let is_bridge = driver == "bridge";
        NetworkRecord {
            version: record::VERSION,
            id: id::generate(),
            name: name.to_owned(),
            driver: driver.to_owned(),
            created: Timestamp::now(),
            subnet,
            subnet6: None,
            gateway_mode: GatewayMode::default(),
            gateway_mode6: GatewayMode::default(),
            bridge: String::new(),
            bridge_is_foreign: false,
            inhibit_ipv4: false,
            mtu: self.config.mtu,
            internal: false,
            attachable: false,
            icc: is_bridge,
            masquerade: is_bridge,
            host_binding_ip: Ipv4Addr::UNSPECIFIED,
            options: BTreeMap::new(),
            ipam_options: BTreeMap::new(),
            labels: BTreeMap::new(),
            template: None,
            config_from: String::new(),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let watcher = self.watcher.get_mut().unwrap_or_else(PoisonError::into_inner);
        watcher.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

/// Runs blocking work on a thread made for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::BrokenOff))
}
