//! What went through a container's links, for its statistics.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Result,
    netlink::link::Counters,
    networks::{Networks, blocking},
};

impl Networks {
    /// Traffic of a container since it started, by the link's name inside it (`eth0`), as the container sees it. Read
    /// from the ends on the host: no process of the container takes part.
    ///
    /// # Errors
    /// [`crate::Error::Link`] when the kernel cannot be asked.
    pub async fn counters(&self, container_id: &str) -> Result<BTreeMap<String, Counters>> {
        let wired: Vec<_> = self.endpoints(container_id).into_iter().filter(|e| !e.host_ifname.is_empty()).collect();
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let read = |e: crate::EndpointRecord| Ok((e.ifname, shared.bridge.counters(&e.host_ifname)?.other_end()));
            wired.into_iter().map(read).collect()
        })
        .await
    }
}
