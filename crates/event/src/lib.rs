//! The event bus: any noun publishes, clients of `GET /events` subscribe.
//!
//! The last [`HISTORY_LEN`] events stay in memory for `--since`; a subscriber that falls more than that behind loses
//! the oldest ones and goes on.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use berth_kit::time::Timestamp;
pub use berth_spec::event::{Actor, Event, Filter};
use tokio::sync::broadcast;

mod filter;

/// How many past events are kept.
pub const HISTORY_LEN: usize = 1024;

/// A handle to the bus; clones share it.
#[derive(Debug, Clone)]
pub struct Bus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    history: Mutex<VecDeque<Event>>,
    live: broadcast::Sender<Event>,
}

/// Past events and a receiver of those to come.
#[derive(Debug)]
pub struct Subscription {
    /// Events that already happened, oldest first.
    pub past: Vec<Event>,
    /// Events to come; a lagging receiver skips.
    pub live: broadcast::Receiver<Event>,
}

impl Default for Bus {
    fn default() -> Self {
        Self { shared: Arc::new(Shared { history: Mutex::default(), live: broadcast::channel(HISTORY_LEN).0 }) }
    }
}

impl Bus {
    /// Publishes that `action` happened to the `typ` named `id`, now.
    pub fn publish(&self, typ: &str, action: &str, id: &str, attributes: BTreeMap<String, String>) {
        let at = Timestamp::now();
        let legacy = matches!(typ, "container" | "image");
        let event = Event {
            status: legacy.then(|| action.to_owned()),
            id: legacy.then(|| id.to_owned()),
            from: attributes.get("image").filter(|_| typ == "container").cloned(),
            typ: typ.to_owned(),
            action: action.to_owned(),
            actor: Actor { id: id.to_owned(), attributes },
            scope: "local".to_owned(),
            time: at.as_second(),
            time_ns: i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX),
        };
        let mut history = self.lock();
        if history.len() == HISTORY_LEN {
            history.pop_front();
        }
        history.push_back(event.clone());
        // No subscriber is no failure. Sent under the lock, so that past and live neither miss nor repeat an event.
        let _ = self.shared.live.send(event);
    }

    /// Past events from `since` on (none without it) and a receiver of all later ones; filter both with [`Filter`].
    #[must_use]
    pub fn subscribe(&self, since: Option<Timestamp>) -> Subscription {
        let history = self.lock();
        let past = since.map_or_else(Vec::new, |since| {
            let since_ns = i64::try_from(since.as_nanosecond()).unwrap_or(i64::MIN);
            history.iter().filter(|event| event.time_ns >= since_ns).cloned().collect()
        });
        Subscription { past, live: self.shared.live.subscribe() }
    }

    /// How many clients listen.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.shared.live.receiver_count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Event>> {
        self.shared.history.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

pub use filter::matches;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_and_live_join_without_gap() {
        let bus = Bus::default();
        bus.publish("container", "create", "a", BTreeMap::new());
        let mut subscription = bus.subscribe(Some(Timestamp::UNIX_EPOCH));
        bus.publish("container", "start", "a", BTreeMap::new());
        assert_eq!(subscription.past.len(), 1);
        assert_eq!(subscription.live.try_recv().unwrap().action, "start");
        assert!(subscription.live.try_recv().is_err());
    }

    #[test]
    fn history_is_bounded() {
        let bus = Bus::default();
        for _ in 0..HISTORY_LEN + 10 {
            bus.publish("network", "create", "n", BTreeMap::new());
        }
        assert_eq!(bus.subscribe(Some(Timestamp::UNIX_EPOCH)).past.len(), HISTORY_LEN);
    }
}
