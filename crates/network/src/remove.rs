//! A network ends: on request, or because nobody uses it.

use std::sync::Arc;

use berth_record::Durability;

use crate::{
    Error, Result,
    networks::{Networks, Shared, blocking},
    record::{self, NetworkRecord},
    state::bridge_rules,
};

impl Networks {
    /// Removes a network that no container uses.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Predefined`], [`Error::InUse`], or what the kernel refuses.
    pub async fn remove(&self, id_or_name: &str) -> Result<()> {
        let id = self.inspect(id_or_name)?.network.id;
        self.settle_those(|leaving| leaving.network_id == id).await;
        let shared = Arc::clone(&self.shared);
        let wanted = id_or_name.to_owned();
        let network = blocking(move || shared.remove(&wanted)).await?;
        self.publish_network(&network, "destroy");
        Ok(())
    }

    /// Removes all networks of users' own that no container uses and that `is_wanted` passes (labels, age, and
    /// containers that are stopped are the caller's knowledge); returns their names.
    ///
    /// # Errors
    /// The first failure; networks removed before stay removed.
    pub async fn prune(&self, is_wanted: impl Fn(&NetworkRecord) -> bool) -> Result<Vec<String>> {
        let unused: Vec<NetworkRecord> = {
            let state = self.shared.lock();
            let is_used = |network: &NetworkRecord| state.endpoints.values().any(|e| e.network_id == network.id);
            state
                .networks
                .values()
                .filter(|n| !n.is_predefined() && n.template.is_none() && !is_used(n))
                .cloned()
                .collect()
        };
        let mut removed = Vec::new();
        for network in unused.iter().filter(|network| is_wanted(network)) {
            match self.remove(&network.id).await {
                Ok(()) => removed.push(network.name.clone()),
                // Somebody joined or removed it meanwhile.
                Err(Error::InUse { .. } | Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }
}

impl Shared {
    fn remove(&self, wanted: &str) -> Result<NetworkRecord> {
        let network = {
            let mut state = self.lock();
            let network = state.resolve(wanted)?.clone();
            if network.is_predefined() {
                return Err(Error::Predefined { name: network.name, act: "removed" });
            }
            let users: Vec<_> = state.endpoints.values().filter(|e| e.network_id == network.id).collect();
            if !users.is_empty() {
                let names = users.iter().map(|endpoint| format!("name:{:?}", endpoint.container_name));
                let containers = names.collect::<Vec<_>>().join(", ");
                return Err(Error::InUse { name: network.name, containers });
            }
            if let Some(user) = state.networks.values().find(|other| other.config_from == network.name)
                && network.template.is_some()
            {
                return Err(Error::TemplateInUse { name: network.name, user: user.name.clone() });
            }
            // From here on nobody can join it.
            state.remove_network(&network.id);
            network
        };
        if let Err(error) = self.take_down(&network) {
            self.lock().add_network(network);
            return Err(error);
        }
        self.store.delete(record::NETWORKS, &network.id, Durability::Power)?;
        Ok(network)
    }

    fn take_down(&self, network: &NetworkRecord) -> Result<()> {
        self.driver(network).remove(network)?;
        match bridge_rules(network) {
            Some(rules) if self.lock().installed => self.change_rules(|firewall| firewall.close_bridge(&rules)),
            _ => Ok(()),
        }
    }
}
