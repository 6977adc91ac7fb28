//! The engine's rules as one nf_tables table. The rules stand in `berth.nft`; this file moves elements.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use rustix::io::Errno;

use super::{BridgeRules, Desired, Firewall, PortRule};
use crate::{
    Error, Result,
    netlink::{
        Family, Refusal, Request, Socket,
        bits::nf,
        conntrack,
        nft::{
            Ruleset,
            object::{self, Element},
        },
        reply,
    },
    port::Protocol,
};

const FILE: &str = include_str!("berth.nft");

/// The rule file in nft(8)'s language; with `respect` such that published ports obey the host's input chains.
#[must_use]
pub fn rules(respect: bool) -> String {
    let line = |line: &'static str| {
        let plain = line.trim_start().strip_prefix("#respect");
        match (plain, respect) {
            (Some(rest), true) => Some(rest),
            (Some(_), false) => None,
            (None, true) if line.ends_with("# plain") => None,
            (None, _) => Some(line),
        }
    };
    FILE.lines().filter_map(line).map(|line| format!("{line}\n")).collect()
}

/// Requests per transaction when everything is installed: with 400 elements each they fit a send buffer.
const REQUESTS_PER_COMMIT: usize = 24;

/// One nf_tables table of family inet.
#[derive(Debug)]
pub struct Nftables {
    ruleset: Ruleset,
    socket: Mutex<Socket>,
    port: u32,
    /// Published ports obey the host's input chains.
    respect: bool,
}

impl Nftables {
    /// Reads the rule file and opens a socket in the caller's network namespace; installs nothing. The table is called
    /// `table`, so that two engines can share a namespace. With `respect` published ports obey the host's input chains.
    ///
    /// # Errors
    /// [`Error::Firewall`] when the kernel has no nf_tables.
    ///
    /// # Panics
    /// When the rule file, which is part of the program, cannot be read: the tests read it.
    pub fn open(table: &str, respect: bool) -> Result<Self> {
        let mut ruleset = Ruleset::parse(&rules(respect)).expect("the engine's own rule file");
        table.clone_into(&mut ruleset.table);
        let socket = Socket::open(Family::Netfilter).map_err(|source| Error::Firewall {
            act: "reach",
            table: table.to_owned(),
            source,
        })?;
        let port = socket.port();
        Ok(Self { ruleset, socket: Mutex::new(socket), port, respect })
    }

    fn commit(&self, act: &'static str, requests: Vec<Request>) -> Result<()> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.commit(requests).map_err(|source| self.failed(act, source))
    }

    fn failed(&self, act: &'static str, source: Refusal) -> Error {
        Error::Firewall { act, table: self.ruleset.table.clone(), source }
    }

    fn requests(&self, elements: &Elements, make: fn(&str, &str, &[Element]) -> Vec<Request>) -> Vec<Request> {
        elements.iter().flat_map(|(set, elements)| make(&self.ruleset.table, set, elements)).collect()
    }
}

impl Nftables {
    fn port_elements(&self, ports: &[PortRule], elements: &mut Elements) {
        port_elements(ports, elements);
        if self.respect {
            offered_elements(ports, elements);
        }
    }
}

impl Firewall for Nftables {
    fn name(&self) -> &'static str {
        "nftables"
    }

    fn install(&self, desired: &Desired) -> Result<()> {
        let mut elements = Elements::new();
        desired.bridges.iter().for_each(|bridge| bridge_elements(bridge, &mut elements));
        self.port_elements(&desired.ports, &mut elements);
        let mut requests = object::replace(&self.ruleset);
        let mut more = self.requests(&elements, object::add_elements);
        let rest = more.split_off(more.len().min(REQUESTS_PER_COMMIT));
        requests.append(&mut more);
        self.commit("install", requests)?;
        // Thousands of ports do not fit one transaction; the rules stand already, the rest of the ports follow.
        let mut rest = rest.into_iter().peekable();
        while rest.peek().is_some() {
            self.commit("install", rest.by_ref().take(REQUESTS_PER_COMMIT).collect())?;
        }
        Ok(())
    }

    fn open_bridge(&self, bridge: &BridgeRules) -> Result<()> {
        let mut elements = Elements::new();
        bridge_elements(bridge, &mut elements);
        self.commit("add a bridge to", self.requests(&elements, object::add_elements))
    }

    fn close_bridge(&self, bridge: &BridgeRules) -> Result<()> {
        let mut elements = Elements::new();
        bridge_elements(bridge, &mut elements);
        self.commit("remove a bridge from", self.requests(&elements, object::remove_elements))
    }

    fn publish(&self, ports: &[PortRule]) -> Result<()> {
        let mut elements = Elements::new();
        self.port_elements(ports, &mut elements);
        self.commit("publish a port in", self.requests(&elements, object::add_elements))?;
        forget_flows(ports);
        Ok(())
    }

    fn withdraw(&self, ports: &[PortRule]) -> Result<()> {
        let mut elements = Elements::new();
        self.port_elements(ports, &mut elements);
        self.commit("withdraw a port from", self.requests(&elements, object::remove_elements))?;
        forget_flows(ports);
        Ok(())
    }

    fn is_installed(&self) -> Result<bool> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        match socket.ask(object::get_table(&self.ruleset.table), |_| Ok(())) {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.is(Errno::NOENT) => Ok(false),
            Err(refusal) => Err(self.failed("look for", refusal)),
        }
    }

    fn listen(&self) -> Result<Option<Socket>> {
        Socket::open_listening(Family::Netfilter, nf::GROUP_MASK)
            .map(Some)
            .map_err(|source| self.failed("watch", source))
    }

    fn concerns(&self, datagram: &[u8]) -> bool {
        reply::messages(datagram)
            .map_while(std::result::Result::ok)
            .any(|message| object::is_foreign_change(&message, &self.ruleset.table, &[self.port]))
    }

    fn follows(&self, datagram: &[u8]) -> bool {
        let others = |message: &reply::Message<'_>| message.port != self.port && message.kind != nf::NEWGEN;
        self.respect && reply::messages(datagram).map_while(std::result::Result::ok).any(|message| others(&message))
    }

    fn judge_anew(&self) -> Result<()> {
        let sets = ["admitted", "admitted6"].map(|set| object::empty(&self.ruleset.table, set));
        self.commit("judge anew who may pass", sets.into())
    }

    fn clear(&self) -> Result<()> {
        let table = &self.ruleset.table;
        self.commit("remove", vec![object::add_table(table), object::remove_table(table)])
    }
}

/// Makes the kernel look at the rules again for UDP flows through `ports`. Not to succeed means that some clients go on
/// to the former place until they pause for half a minute; nothing to fail for.
fn forget_flows(ports: &[PortRule]) {
    let mut udp = ports.iter().filter(|port| port.protocol == Protocol::Udp).peekable();
    if udp.peek().is_none() {
        return;
    }
    let outcome = Socket::open(Family::Netfilter).and_then(|mut socket| {
        udp.try_for_each(|port| conntrack::forget_udp(&mut socket, port.host_port, port.target.ip()))
    });
    if let Err(error) = outcome {
        tracing::debug!(%error, "UDP flows are not forgotten");
    }
}

/// Another program's chain that drops forwarded packets: a packet must pass every program's rules, so the engine's
/// cannot help it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignDrop {
    /// Family and name of its table: `ip filter`.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// Who rules there.
    pub keeper: Keeper,
}

/// The program that a chain belongs to, and whose command opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// ufw(8).
    Ufw,
    /// firewalld(1).
    Firewalld,
    /// Somebody else.
    Unknown,
}

/// Chains of other programs that drop forwarded packets, but those whose tables have a rule about the link `bridge`:
/// somebody has decided there what becomes of its packets. Rules of the old kind (iptables-legacy) are not seen.
///
/// # Errors
/// [`Error::Firewall`] when the kernel cannot be asked.
pub fn foreign_drops(bridge: &str) -> Result<Vec<ForeignDrop>> {
    look_for_drops(bridge).map_err(|source| Error::Firewall {
        act: "look for chains beside",
        table: "berth".to_owned(),
        source,
    })
}

fn look_for_drops(bridge: &str) -> std::result::Result<Vec<ForeignDrop>, Refusal> {
    let (mut gates, mut of_ufw) = (Vec::new(), false);
    let mut socket = Socket::open(Family::Netfilter)?;
    socket.dump(&object::list_chains(), |message| {
        gates.extend(object::dropping_forward(message)?);
        of_ufw |= object::is_of_ufw(message)?;
        Ok(())
    })?;
    let mut found = Vec::new();
    for gate in gates {
        let mut decided = false;
        socket.dump(&object::list_rules(&gate), |message| {
            decided |= object::names_link(message, bridge);
            Ok(())
        })?;
        let keeper = match (gate.is_of_firewalld(), of_ufw) {
            (true, _) => Keeper::Firewalld,
            (false, true) => Keeper::Ufw,
            (false, false) => Keeper::Unknown,
        };
        if !decided {
            found.push(ForeignDrop { table: gate.table(), chain: gate.chain, keeper });
        }
    }
    Ok(found)
}

/// Elements by the set they belong to.
type Elements = BTreeMap<&'static str, Vec<Element>>;

fn bridge_elements(rules: &BridgeRules, elements: &mut Elements) {
    let mut name = [0; 16];
    let len = rules.bridge.len().min(15);
    name[..len].copy_from_slice(&rules.bridge.as_bytes()[..len]);
    let pair = [name, name].concat();
    let mut add = |set: &'static str, wanted: bool, key: &[u8]| {
        if wanted {
            elements.entry(set).or_default().push(Element { key: key.to_vec(), key_end: None, data: None });
        }
    };
    add("bridges", true, &name);
    add("masqueraded", rules.masquerade && !rules.internal, &name);
    add("masqueraded6", rules.masquerade6 && !rules.internal, &name);
    add("open", rules.open && !rules.internal, &name);
    add("open6", rules.open6 && !rules.internal, &name);
    add("talking", rules.talking, &pair);
    add("internal", rules.internal, &name);
    let mut own = |set, first: &[u8], last: &[u8]| {
        let (key, key_end) = ([first, &name].concat(), Some([last, &name].concat()));
        elements.entry(set).or_default().push(Element { key, key_end, data: None });
    };
    if let Some(subnet) = rules.subnet {
        own("own", &subnet.first().octets(), &subnet.last().octets());
    }
    if let Some(subnet) = rules.subnet6 {
        own("own6", &subnet.first().octets(), &subnet.last().octets());
    }
}

fn port_elements(ports: &[PortRule], elements: &mut Elements) {
    for port in ports {
        let protocol = [port.protocol.number(), 0, 0, 0];
        let target = octets(port.target.ip());
        let inside = padded(port.target.port());
        let ipv4 = port.host_ip.is_ipv4();
        if port.routed {
            let key = [&target[..], &protocol, &inside].concat();
            let set = if ipv4 { "routed" } else { "routed6" };
            elements.entry(set).or_default().push(Element { key, key_end: None, data: None });
            continue;
        }
        let everywhere = port.host_ip.is_unspecified();
        let set = match (ipv4, everywhere) {
            (true, true) => "published",
            (true, false) => "published_at",
            (false, true) => "published6",
            (false, false) => "published6_at",
        };
        let at = if everywhere { Vec::new() } else { octets(port.host_ip) };
        let key = [&at[..], &protocol, &padded(port.host_port)].concat();
        let data = Some([&target[..], &inside].concat());
        elements.entry(set).or_default().push(Element { key, key_end: None, data });
    }
}

/// The keys of published ports, for the host's rules to judge.
fn offered_elements(ports: &[PortRule], elements: &mut Elements) {
    for port in ports.iter().filter(|port| !port.routed) {
        let (set, at) = match (port.host_ip.is_unspecified(), port.host_ip) {
            (true, _) => ("offered", Vec::new()),
            (false, IpAddr::V4(_)) => ("offered_at", octets(port.host_ip)),
            (false, IpAddr::V6(_)) => ("offered6_at", octets(port.host_ip)),
        };
        let key = [&at[..], &[port.protocol.number(), 0, 0, 0], &padded(port.host_port)].concat();
        let element = Element { key, key_end: None, data: None };
        let list = elements.entry(set).or_default();
        // Both families of a port are one element.
        if !list.contains(&element) {
            list.push(element);
        }
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}
