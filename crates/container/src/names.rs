//! Names on networks of a user's own: what the resolver must know of networks and containers is written down for it, and
//! it is started when the first container needs it. It outlives the daemon; see `berth_dns`.

use std::{
    net::{IpAddr, SocketAddrV4},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use berth_dns::{ADDRESS, Container, HIDDEN_PORT, Member, Membership, Network, PORT, State, poke};
use berth_network::EndpointRecord;
use tokio::{process::Command, sync::broadcast::error::RecvError};

use crate::{Containers, Error, Result, record::Record};

/// How long a resolver may take to begin.
const BEGIN: Duration = Duration::from_secs(3);
/// How often it is seen whether it still answers.
const LOOK: Duration = Duration::from_secs(2);
/// Between two looks whether it has begun.
const PAUSE: Duration = Duration::from_millis(2);

impl Containers {
    /// Whether the container asks the resolver: it is on a network of a user's own.
    pub(crate) fn asks_resolver(&self, record: &Record) -> bool {
        !self.named(record).is_empty()
    }

    /// Where the container finds the resolver.
    pub(crate) fn resolver_address(&self, record: &Record) -> std::net::Ipv4Addr {
        if crate::machine::is_wanted(record) { berth_vm::message::RESOLVER } else { ADDRESS }
    }

    /// The container's endpoints on networks with names.
    fn named(&self, record: &Record) -> Vec<EndpointRecord> {
        let mut endpoints = self.shared.networks.endpoints(&record.id);
        let networks = &self.shared.networks;
        endpoints.retain(|endpoint| {
            endpoint.is_wired()
                && networks.inspect(&endpoint.network_id).is_ok_and(|found| !found.network.is_predefined())
        });
        endpoints
    }

    /// Tells the resolver what the container may know; on return it answers.
    ///
    /// # Errors
    /// [`Error::Names`].
    pub(crate) async fn serve_names(&self, record: &Record, pid: i32) -> Result<()> {
        if !self.asks_resolver(record) {
            return Ok(());
        }
        let state = self.names();
        let endpoints = self.named(record);
        for endpoint in &endpoints {
            self.write_network(&state, &endpoint.network_id)?;
        }
        let networks =
            endpoints.iter().map(|one| Membership { id: one.network_id.clone(), links: one.links.clone() }).collect();
        let born = berth_sys::process::birth(pid).unwrap_or(0);
        // The way was made already when it joined another network.
        let known = state.container(&record.id).ok().flatten().filter(|known| (known.pid, known.born) == (pid, born));
        // A machine asks from outside of its jail's namespace, in which port 53 is nobody's.
        let everywhere = crate::machine::is_wanted(record);
        let port = match known {
            Some(known) => known.port,
            None if everywhere => PORT,
            None => lead(record, pid).await,
        };
        let container = Container { pid, born, port, everywhere, networks, upstream: self.upstream(record) };
        state.put_container(&record.id, &container).map_err(Error::Names)?;
        self.tell(format!("container {}", record.id)).await
    }

    fn names(&self) -> State {
        State::new(&self.shared.config.runtime_root.join("dns"))
    }

    /// Who knows other names: the servers that were asked for, or else the host's.
    fn upstream(&self, record: &Record) -> Vec<IpAddr> {
        let own = record.host.dns.clone().filter(|list| !list.is_empty());
        let own = own.unwrap_or_else(|| self.shared.config.dns.clone());
        let parse = |text: &str| text.parse().ok();
        if !own.is_empty() {
            return own.iter().filter_map(|text| parse(text)).collect();
        }
        let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        host.lines().filter_map(|line| parse(line.strip_prefix("nameserver")?.trim())).collect()
    }

    fn write_network(&self, state: &State, id: &str) -> Result<()> {
        let Ok(found) = self.shared.networks.inspect(id) else { return state.remove_network(id).map_err(Error::Names) };
        let members = found.endpoints.iter().map(member).collect();
        let network = Network { name: found.network.name, internal: found.network.internal, members };
        state.put_network(id, &network).map_err(Error::Names)
    }

    /// Tells the resolver; one that does not run is started.
    async fn tell(&self, what: String) -> Result<()> {
        let dir = self.names().dir().to_owned();
        if said(&dir, &what).await.is_ok() {
            return Ok(());
        }
        // It reads everything when it begins.
        let _turn = self.shared.resolver.lock().await;
        if said(&dir, &what).await.is_ok() {
            return Ok(());
        }
        self.start_resolver()?;
        let begun = tokio::time::Instant::now();
        loop {
            match said(&dir, &what).await {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() > BEGIN => return Err(Error::Names(error)),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Starts the resolver, and again when it ends while containers need it.
    fn start_resolver(&self) -> Result<()> {
        let dir = self.names().dir().to_owned();
        let failed = |error| Error::file("start the resolver of", &dir, error);
        let log = std::fs::File::create(dir.join("log")).map_err(failed)?;
        let mut command = Command::new(&self.shared.config.exe);
        command.arg0("berth").arg("resolve").arg(&dir).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().map_err(failed)?;
        let containers = self.clone();
        tokio::spawn(async move {
            let ended = child.wait().await;
            if !containers.names().containers().is_empty() {
                tracing::warn!(?ended, "the resolver ended; it is started again");
                tokio::time::sleep(Duration::from_millis(100)).await;
                if let Err(error) = containers.tell("again".to_owned()).await {
                    tracing::error!(%error, "containers on networks of their own find no names");
                }
            }
        });
        Ok(())
    }

    /// Keeps what the resolver knows true for as long as the daemon lives.
    pub(crate) fn follow_names(&self) {
        let containers = self.clone();
        let mut changes = self.shared.networks.changes();
        tokio::spawn(async move {
            loop {
                let next = tokio::time::timeout(LOOK, changes.recv());
                let changed = match next.await {
                    // A resolver that an earlier daemon started ends without telling this one.
                    Err(_) => {
                        containers.look_after_resolver().await;
                        continue;
                    }
                    Ok(Ok(id)) => vec![id],
                    Ok(Err(RecvError::Lagged(_))) => {
                        containers.shared.networks.list().into_iter().map(|network| network.id).collect()
                    }
                    Ok(Err(RecvError::Closed)) => return,
                };
                for id in changed {
                    containers.names_changed(&id).await;
                }
            }
        });
    }

    async fn look_after_resolver(&self) {
        if self.names().containers().is_empty() {
            return;
        }
        if let Err(error) = self.tell("look".to_owned()).await {
            tracing::error!(%error, "containers on networks of their own find no names");
        }
    }

    async fn names_changed(&self, network: &str) {
        let state = self.names();
        if state.containers().is_empty() {
            return;
        }
        let outcome = match self.write_network(&state, network) {
            Ok(()) => self.tell(format!("network {network}")).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, network, "the resolver does not know the newest names");
        }
    }

    /// After a start of the daemon: a resolver that was lost meanwhile is started again.
    pub(crate) async fn recover_names(&self) {
        let state = self.names();
        if state.containers().is_empty() {
            return;
        }
        for network in self.shared.networks.list() {
            if let Err(error) = self.write_network(&state, &network.id) {
                tracing::warn!(%error, network = network.name, "the resolver does not know the newest names");
            }
        }
        for network in self.shared.networks.list() {
            self.names_changed(&network.id).await;
        }
    }

    /// The daemon ends: a resolver that serves nobody goes, too.
    pub(crate) async fn leave_names(&self) {
        let dir = self.names().dir().to_owned();
        // None may run.
        let _ = said(&dir, "leave").await;
    }
}

/// Makes the way to the resolver; without packet rules it has to take the port itself.
async fn lead(record: &Record, pid: i32) -> u16 {
    let netns = berth_network::Netns::Pid(pid as u32);
    let (asked, listens) = (SocketAddrV4::new(ADDRESS, PORT), SocketAddrV4::new(ADDRESS, HIDDEN_PORT));
    let led = tokio::task::spawn_blocking(move || berth_network::lead_names(&netns, asked, listens)).await;
    match led {
        Ok(Ok(())) => HIDDEN_PORT,
        Ok(Err(error)) => {
            let container = record.name.as_str();
            tracing::warn!(%error, container, "no name server of the container's own can have port 53");
            PORT
        }
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn member(endpoint: &EndpointRecord) -> Member {
    let short = berth_kit::id::short(&endpoint.container_id).to_owned();
    let own = [endpoint.container_name.clone(), short, endpoint.host_name.clone()];
    let names = own.into_iter().chain(endpoint.aliases.iter().cloned()).filter(|name| !name.is_empty()).collect();
    Member { names, ipv4: endpoint.ipv4, ipv6: endpoint.ipv6 }
}

async fn said(dir: &std::path::Path, what: &str) -> berth_dns::Result<()> {
    let (dir, what) = (PathBuf::from(dir), what.to_owned());
    let spoken = tokio::task::spawn_blocking(move || poke(&dir, &what)).await;
    spoken.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
