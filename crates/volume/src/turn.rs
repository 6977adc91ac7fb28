//! One act at a time for each volume, and several volumes at once: a driver that takes its time with one of them must
//! not hold up the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// Turns by the volume's name.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Arc<Turn<()>>>>);

impl Turns {
    /// Waits for the turn of `name`; it ends when the guard goes.
    pub async fn take(&self, name: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody holds or waits for are known to the map alone.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(name.to_owned()).or_default().clone()
        };
        turn.lock_owned().await
    }

    /// The turns of two volumes; in one order for everybody, so that nobody waits in a circle.
    pub async fn take_both(&self, one: &str, other: &str) -> (OwnedMutexGuard<()>, OwnedMutexGuard<()>) {
        let (first, second) = if one < other { (one, other) } else { (other, one) };
        (self.take(first).await, self.take(second).await)
    }
}
