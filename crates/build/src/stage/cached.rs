//! A step that makes a layer: from the cache, from the cache of others, or made.

use std::sync::{Arc, PoisonError};

use berth_kit::time::Timestamp;
use berth_spec::Digest;

use super::{Outcome, Solve, Step};
use crate::{
    Error, NoCache, Result,
    cache::{Entry, Key, LayerRef},
    context::blocking,
    explain,
    layer::{Scratch, rebase},
    state::State,
};

impl Solve {
    /// Whether the steps of a stage may come from the cache.
    fn may_cache(&self, stage: usize) -> bool {
        let from = &self.file.stages[stage].from;
        match &self.request.no_cache {
            NoCache::Nothing => true,
            NoCache::All => false,
            NoCache::Stages(names) => {
                let own = from.name.as_ref().map(|name| name.value.as_str());
                let number = stage.to_string();
                !names.iter().any(|name| own.is_some_and(|own| own.eq_ignore_ascii_case(name)) || *name == number)
            }
        }
    }

    /// A step that makes a layer: looked up by its key, else made by `make`.
    pub async fn layer_step<F>(
        self: &Arc<Self>,
        state: &State,
        step: &Step,
        key: Key,
        linked: bool,
        uncached: bool,
        make: impl FnOnce() -> F,
    ) -> Result<Outcome>
    where
        F: Future<Output = Result<Scratch>>,
    {
        let digest = key.digest();
        let below = if linked { None } else { state.top.clone() };
        let slot = format!("{} {} {}", self.request.dockerfile_name, step.stage, step.number);
        let mut reason = explain::miss(&self.shared.cache, &slot, &key);
        if uncached || !self.may_cache(step.stage) {
            reason = if uncached { "its comment says no-cache" } else { "asked for with --no-cache" }.to_owned();
        } else if let Some(entry) = self.known(&digest) {
            let reason = explain::hit(&entry, key.parts().len());
            let layer = self.put_on(state, entry.layer.clone(), linked).await?;
            self.used.lock().unwrap_or_else(PoisonError::into_inner).push(digest.clone());
            let created = entry.created;
            return Ok(Outcome { layer, cached: true, reason, stamp: self.stamp(created), key: digest, created });
        } else if let Some((entry, reason)) = self.brought(step, &key, below.as_ref(), state, &slot).await? {
            let layer = self.put_on(state, entry.layer.clone(), linked).await?;
            let created = entry.created;
            return Ok(Outcome { layer, cached: true, reason, stamp: self.stamp(created), key: digest, created });
        }
        let scratch = make().await?;
        let (images, epoch) = (self.shared.images.clone(), self.epoch);
        let layer = blocking(move || scratch.seal(&images, below.as_ref(), epoch)).await?;
        let now = Timestamp::now();
        let entry = Entry {
            key: digest.clone(),
            slot,
            text: step.text.clone(),
            parent: state.key.clone(),
            layer: layer.as_ref().map(LayerRef::of),
            created: now,
            last_used: now,
            uses: 0,
            kind: "regular".to_owned(),
        };
        let made = entry.layer.clone();
        self.shared.cache.put(entry, &key)?;
        let layer = self.put_on(state, made, linked).await?;
        Ok(Outcome { layer, cached: false, reason, stamp: self.stamp(now), key: digest, created: now })
    }

    /// The step from somebody else's cache. One that cannot be brought is made.
    async fn brought(
        &self,
        step: &Step,
        key: &Key,
        below: Option<&Digest>,
        state: &State,
        slot: &str,
    ) -> Result<Option<(Entry, String)>> {
        let digest = key.digest();
        let Some(known) = self.imports.get(&digest) else { return Ok(None) };
        let layer = match known.bring(&self.shared, below).await {
            Ok(layer) => layer,
            Err(error) => {
                let text = format!("the cache of {} is not used: {}\n", known.from, error.chain());
                self.teller.log(&step.id, 2, text.as_bytes()).await;
                return Ok(None);
            }
        };
        let entry = Entry {
            key: digest,
            slot: slot.to_owned(),
            text: step.text.clone(),
            parent: state.key.clone(),
            layer: layer.as_ref().map(LayerRef::of),
            created: known.created,
            last_used: Timestamp::now(),
            uses: 1,
            kind: "regular".to_owned(),
        };
        self.shared.cache.put(entry.clone(), key)?;
        Ok(Some((entry, known.reason())))
    }

    /// The entry of a key whose layer is still here.
    fn known(&self, key: &str) -> Option<Entry> {
        let entry = self.shared.cache.take(key)?;
        match &entry.layer {
            Some(layer) if self.shared.images.layer(&layer.chain_id).is_none() => None,
            _ => Some(entry),
        }
    }

    /// A layer that knows nothing of those below is put on them.
    async fn put_on(&self, state: &State, layer: Option<LayerRef>, linked: bool) -> Result<Option<LayerRef>> {
        let layer = match layer {
            Some(layer) if linked => layer,
            other => return Ok(other),
        };
        let (images, snapshots, top) =
            (self.shared.images.clone(), Arc::clone(&self.shared.snapshots), state.top.clone());
        blocking(move || {
            let own = images.layer(&layer.chain_id).ok_or(Error::Cancelled)?;
            rebase(&images, &snapshots, &own, top.as_ref()).map(|layer| Some(LayerRef::of(&layer)))
        })
        .await
    }
}
