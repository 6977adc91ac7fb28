//! Connections that are kept for the next request to the same place.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hyper::client::conn::http1::SendRequest;

use crate::payload::Payload;

/// Kept for one place.
const IDLE_MAX: usize = 8;
/// Longest wait for a next request.
const IDLE: Duration = Duration::from_secs(20);

/// What a request is sent over.
pub type Sender = SendRequest<Payload>;

/// Idle connections by where they lead and how the other side was verified.
#[derive(Debug, Default)]
pub struct Pool {
    idle: Mutex<HashMap<String, Vec<(Sender, Instant)>>>,
}

impl Pool {
    /// A connection that nobody uses.
    pub fn take(&self, key: &str) -> Option<Sender> {
        let mut idle = self.lock();
        let kept = idle.get_mut(key)?;
        while let Some((sender, since)) = kept.pop() {
            if !sender.is_closed() && since.elapsed() < IDLE {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection once the answer under way has been read; an answer that is dropped half-read closes it.
    pub fn keep(self: &Arc<Self>, key: String, mut sender: Sender) {
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            if sender.ready().await.is_err() {
                return;
            }
            {
                let mut idle = pool.lock();
                let kept = idle.entry(key).or_default();
                if kept.len() < IDLE_MAX {
                    kept.push((sender, Instant::now()));
                }
            }
            tokio::time::sleep(IDLE).await;
            pool.lock().retain(|_, kept| {
                kept.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < IDLE);
                !kept.is_empty()
            });
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<(Sender, Instant)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
