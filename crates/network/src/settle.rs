//! Links go in the background.
//!
//! Removing a link makes the caller wait for some 20 ms, but when a container ends the kernel removes its links itself,
//! many at once. So a departure first leaves the kernel some time; what is still there then is removed by hand. Whoever
//! needs an end at once hurries it.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use crate::{
    networks::{Networks, Shared, blocking},
    record::EndpointRecord,
};

/// How long the kernel has to remove a dead container's links itself.
const GRACE: Duration = Duration::from_millis(100);

/// When links of a departed endpoint go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Its container lives on.
    Once,
    /// Its container has ended, and most likely the kernel removes them.
    Leisure,
}

/// Signals between departures and those who wait for them.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    hurry: Notify,
    done: Notify,
}

impl Networks {
    /// Waits until the links of all containers that were detached are gone.
    pub async fn settle(&self) {
        self.settle_those(|_| true).await;
    }

    pub(crate) async fn settle_those(&self, is_meant: impl Fn(&EndpointRecord) -> bool) {
        loop {
            let done = self.shared.departures.done.notified();
            if !self.shared.lock().leaving.values().any(&is_meant) {
                return;
            }
            self.shared.departures.hurry.notify_waiters();
            done.await;
        }
    }
}

impl Shared {
    /// Removes the links of a withdrawn endpoint in the background.
    pub fn depart(self: &Arc<Self>, endpoint: EndpointRecord, at: At) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            if at == At::Leisure {
                // Running out of time and being hurried are both a start.
                let _ = tokio::time::timeout(GRACE, shared.departures.hurry.notified()).await;
            }
            let (at_work, id) = (Arc::clone(&shared), endpoint.id.clone());
            if let Err(error) = blocking(move || at_work.remove_links(&endpoint)).await {
                tracing::warn!(%error, endpoint = id, "links of a detached container stay until the daemon starts again");
                shared.lock().leaving.remove(&id);
            }
            shared.departures.done.notify_waiters();
        });
    }
}
