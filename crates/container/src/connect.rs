//! `network connect` and `network disconnect`, for containers that run and for those that do not.

use berth_network::Netns;
use berth_spec::model::EndpointSettings;

use crate::{
    Containers, Error, Result,
    containers::Container,
    endpoint, identity,
    record::{Record, Status},
};

impl Containers {
    /// Connects a container to a network; one that runs has its link on return.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], [`Error::Invalid`] for settings that the network cannot have, what the network noun
    /// says; [`Error::Conflict`] for a container that has another's or the host's network.
    pub async fn connect(&self, name: &str, network: &str, settings: EndpointSettings) -> Result<()> {
        let container = self.shared.find(name)?;
        let network = self.shared.networks.inspect(network).map_err(Error::Unconnected)?.network;
        let _turn = container.turn.lock().await;
        let record = container.read().clone();
        refuse_shared(&record, &network.name)?;
        if matches!(record.state.status, Status::Removing | Status::Dead) {
            let id = &record.id;
            return Err(Error::Conflict(format!("container {id} is marked for removal and cannot be connected")));
        }
        self.check_endpoint(&network.name, &settings)?;
        let settings = EndpointSettings { network_id: Some(network.id.clone()), ..settings };
        let mut attachment = None;
        if record.state.status.is_alive() {
            attachment = Some(self.join(&container, &record, &network.name, &settings).await?);
        }
        self.shared.change(&container, |stored| {
            stored.endpoints.insert(network.name.clone(), settings.clone());
            stored.network = attachment.unwrap_or_else(|| stored.network.clone());
        })
    }

    async fn join(
        &self,
        container: &Container,
        record: &Record,
        network: &str,
        asked: &EndpointSettings,
    ) -> Result<crate::record::Attachment> {
        let publishes = self.shared.networks.inspect(network).is_ok_and(|found| found.network.publishes());
        let published = self.shared.networks.endpoints(&record.id).iter().any(|endpoint| !endpoint.ports.is_empty());
        // A container whose networks could not publish its ports until now.
        let ports = if publishes && !published { endpoint::mappings(record)? } else { Vec::new() };
        let pid = record.state.pid;
        let endpoint = self.attach_one(record, network, asked, ports, pid).await.map_err(|error| match error {
            Error::Network(source) => Error::Unconnected(source),
            other => other,
        })?;
        let mut attachment = container.read().network.clone();
        let shown = endpoint::settings(&endpoint, asked.clone(), record);
        let addresses: Vec<String> = addresses(&shown).map(str::to_owned).collect();
        attachment.networks.insert(endpoint.network_name.clone(), shown);
        self.fill_ports(record, &mut attachment)?;
        self.serve_names(record, pid as i32).await?;
        identity::add_addresses(&self.shared.config.container_dir(&record.id), record, &addresses)?;
        Ok(attachment)
    }

    /// Takes a container off a network; with `force` also one that is gone but for its endpoint.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn disconnect(&self, name: &str, network: &str, force: bool) -> Result<()> {
        let found = self.shared.networks.inspect(network).map_err(Error::Unconnected)?;
        let network = found.network;
        let container = match self.shared.find(name) {
            Ok(container) => container,
            Err(error) => {
                let is_it = |e: &&berth_network::EndpointRecord| e.container_name == name || e.container_id == name;
                let left = found.endpoints.iter().find(is_it).filter(|_| force).ok_or(error)?;
                let outcome = self.shared.networks.disconnect(&network.id, &left.container_id, None).await;
                return outcome.map_err(Error::Unconnected);
            }
        };
        let _turn = container.turn.lock().await;
        let record = container.read().clone();
        if network.name == "host" || record.network_mode() == "host" {
            return Err(Error::Invalid(HOST.to_owned()));
        }
        let mut attachment = record.network.clone();
        if record.state.status.is_alive() {
            let netns = Some(Netns::Pid(record.state.pid));
            let outcome = self.shared.networks.disconnect(&network.id, &record.id, netns).await;
            outcome.map_err(Error::Unconnected)?;
            let gone = attachment.networks.remove(&network.name).unwrap_or_default();
            self.fill_ports(&record, &mut attachment)?;
            self.serve_names(&record, record.state.pid as i32).await?;
            let addresses: Vec<&str> = addresses(&gone).collect();
            identity::remove_addresses(&self.shared.config.container_dir(&record.id), &addresses)?;
        } else if !record.endpoints.contains_key(&network.name) {
            return Err(Error::Unconnected(berth_network::Error::NotConnected {
                container: berth_kit::id::short(&record.id).to_owned(),
                network: network.name,
            }));
        }
        self.shared.change(&container, |stored| {
            stored.endpoints.remove(&network.name);
            stored.network = attachment;
        })
    }
}

const HOST: &str = "container cannot be disconnected from host network or connected to host network";

fn refuse_shared(record: &Record, network: &str) -> Result<()> {
    let mode = record.network_mode();
    if mode.starts_with("container:") {
        let why = "container sharing network namespace with another container or host cannot be connected to any other \
                   network";
        return Err(Error::Invalid(why.to_owned()));
    }
    if network == "host" || mode == "host" {
        return Err(Error::Invalid(HOST.to_owned()));
    }
    let private = |name: &str| name == "none";
    if private(network) != record.endpoints.keys().any(|name| private(name)) && !record.endpoints.is_empty() {
        let why = "container cannot be connected to multiple networks with one of the networks in private (none) mode";
        return Err(Error::Invalid(why.to_owned()));
    }
    Ok(())
}

/// The addresses of an endpoint, as they stand in hosts files.
pub(crate) fn addresses(shown: &EndpointSettings) -> impl Iterator<Item = &str> {
    let both = [shown.ip_address.as_deref(), shown.global_ipv6_address.as_deref()];
    both.into_iter().flatten().filter(|text| !text.is_empty())
}
