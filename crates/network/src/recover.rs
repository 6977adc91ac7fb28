//! After a crash: what no container needs goes, what living containers need comes back.

use std::{collections::HashSet, sync::Arc};

use crate::{
    Result,
    networks::{Networks, Shared, blocking},
    record::EndpointRecord,
};

impl Networks {
    /// Makes the host agree with the records, given the ids of the containers that live; idempotent. Endpoints of other
    /// containers end, links that nobody knows are removed, packet rules and relays are put in place anew.
    ///
    /// # Errors
    /// The first failure; the rest is done all the same.
    pub async fn recover(&self, live: &[String]) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let live: HashSet<String> = live.iter().cloned().collect();
        let outcome = blocking(move || shared.recover(&live)).await;
        let endpoints: Vec<EndpointRecord> = self.shared.lock().endpoints.values().cloned().collect();
        for mut endpoint in endpoints {
            self.shared.relay(&mut endpoint).await;
        }
        let shared = Arc::clone(&self.shared);
        let kept = blocking(move || {
            shared.relays.keep_known();
            Ok(())
        });
        outcome.and(kept.await)
    }
}

impl Shared {
    fn recover(&self, live: &HashSet<String>) -> Result<()> {
        let (gone, living): (Vec<_>, Vec<_>) =
            self.lock().endpoints.values().cloned().partition(|endpoint| !live.contains(&endpoint.container_id));
        let mut outcome = Ok(());
        for endpoint in &gone {
            let withdrawn = self.withdraw(&endpoint.id).unwrap_or(Ok(()));
            outcome = outcome.and(withdrawn).and(self.remove_links(endpoint));
        }
        let networks: Vec<_> = self.lock().networks.values().cloned().collect();
        for network in &networks {
            let on_network: Vec<_> = living.iter().filter(|e| e.network_id == network.id).cloned().collect();
            let driver = self.driver(network);
            if !on_network.is_empty() {
                outcome = outcome.and(driver.ensure(network));
            }
            match driver.sweep(network, &on_network) {
                Ok(sweep) => {
                    for name in sweep.removed {
                        tracing::info!(link = name, network = network.name, "link of no container removed");
                    }
                    for endpoint in sweep.missing {
                        tracing::warn!(endpoint, network = network.name, "a living container has lost its link");
                    }
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        if !living.is_empty() || self.lock().installed {
            outcome = outcome.and(self.install());
        }
        outcome
    }
}
