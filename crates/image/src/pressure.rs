//! Watermarks: above the high one, what nobody uses goes, oldest use first, until the low one is reached.
//!
//! ```text
//! "gc": {"high": "85%", "low": "75%", "interval": 300}      of the file system
//! "gc": {"high": "40GB", "low": "30GB"}                     of what images and build cache take
//! ```
//!
//! What goes: images without container and without children, named or not, and the build cache.

use std::{cmp::Reverse, collections::BinaryHeap, path::Path, sync::PoisonError, time::Duration};

use berth_kit::time::Timestamp;
use berth_spec::Digest;
use serde_json::Value;

use crate::{Images, PruneReport, Removed, Result, filter::created_at, images::Shared};

/// Seconds between two looks, unless the section says otherwise.
const INTERVAL_S: u64 = 300;

/// When to begin and when to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watermarks {
    high: Mark,
    low: Mark,
    interval: Duration,
}

/// A level of disk use.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Mark {
    /// Hundredths of the file system.
    Percent(f64),
    /// Bytes that images and build cache take.
    Bytes(f64),
}

impl Mark {
    fn parse(text: &str) -> Option<Self> {
        if let Some(number) = text.trim().strip_suffix('%') {
            return number.trim().parse().ok().filter(|part| (0.0..=100.0).contains(part)).map(Mark::Percent);
        }
        let bytes = berth_kit::size::parse_bytes(text).ok().filter(|bytes| *bytes >= 0)?;
        Some(Mark::Bytes(bytes as f64))
    }

    /// Whether `use_of` is above it.
    fn is_passed(self, level: Level) -> bool {
        match self {
            Mark::Percent(most) => level.percent > most,
            Mark::Bytes(most) => level.bytes as f64 > most,
        }
    }
}

/// How much is in use.
#[derive(Debug, Clone, Copy)]
struct Level {
    percent: f64,
    bytes: u64,
}

impl Watermarks {
    /// Reads the section `gc`: `high` and `low`, both in percent or both as sizes, and `interval` in seconds.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(section: &Value) -> std::result::Result<Self, String> {
        let section = section.as_object().ok_or("it must be an object with high and low")?;
        if let Some(key) = section.keys().find(|key| !matches!(key.as_str(), "high" | "low" | "interval")) {
            return Err(format!("unknown key {key:?}: there are high, low and interval"));
        }
        let mark = |key: &str| {
            let text = section.get(key).and_then(Value::as_str).ok_or_else(|| format!("{key} is missing"))?;
            Mark::parse(text).ok_or_else(|| format!("{key} must be a percentage such as 85% or a size such as 40GB"))
        };
        let (high, low) = (mark("high")?, mark("low")?);
        match low.partial_cmp(&high) {
            _ if std::mem::discriminant(&low) != std::mem::discriminant(&high) => {
                return Err("high and low must both be percentages or both be sizes".to_owned());
            }
            Some(std::cmp::Ordering::Less) => {}
            _ => return Err("low must be below high".to_owned()),
        }
        let interval = match section.get("interval") {
            None => INTERVAL_S,
            Some(value) => {
                value.as_u64().filter(|seconds| *seconds > 0).ok_or("interval must be a number of seconds")?
            }
        };
        Ok(Self { high, low, interval: Duration::from_secs(interval) })
    }
}

impl Images {
    /// Says from which level on unused images go by themselves; `None` for never.
    pub fn set_watermarks(&self, watermarks: Option<Watermarks>) {
        *self.shared.watermarks.write().unwrap_or_else(PoisonError::into_inner) = watermarks;
        self.shared.marks_changed.notify_one();
    }

    /// Looks at the level of the file system of `root` again and again, for as long as it is polled.
    pub async fn stay_low(&self, root: &Path) {
        loop {
            let marks = *self.shared.watermarks.read().unwrap_or_else(PoisonError::into_inner);
            let pause = async {
                match marks {
                    Some(marks) => tokio::time::sleep(marks.interval).await,
                    None => std::future::pending().await,
                }
            };
            if marks.is_some() {
                match self.relieve(root).await {
                    Ok(report) if !report.removed.is_empty() => tracing::info!(
                        bytes = report.space_bytes,
                        removed = report.removed.len(),
                        "above the high watermark: what nobody used for longest is removed"
                    ),
                    Ok(_) => {}
                    Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "cannot make room"),
                }
            }
            tokio::select! {
                () = pause => {}
                () = self.shared.marks_changed.notified() => {}
            }
        }
    }

    /// Above the high watermark, removes what nobody uses, oldest use first, until the low one is reached or nothing
    /// is left. `root` lies on the file system that is meant by percentages.
    ///
    /// # Errors
    /// [`crate::Error::File`] when the file system cannot be asked, or the store's failures.
    pub async fn relieve(&self, root: &Path) -> Result<PruneReport> {
        let root = root.to_owned();
        let marks = *self.shared.watermarks.read().unwrap_or_else(PoisonError::into_inner);
        let Some(marks) = marks else { return Ok(PruneReport::default()) };
        self.blocking(move |shared| shared.relieve(&root, &marks)).await
    }
}

/// What may go, by its last use.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Image(Digest),
    Cache,
}

impl Shared {
    fn relieve(&self, root: &Path, marks: &Watermarks) -> Result<PruneReport> {
        let mut report = PruneReport::default();
        if !marks.high.is_passed(self.level(root)?) {
            return Ok(report);
        }
        let mut victims: BinaryHeap<Reverse<(Timestamp, Victim)>> = BinaryHeap::new();
        let index = self.snapshot();
        for image in index.images.values() {
            let used = image.last_used.into_iter().chain(index.last_tagged(&image.id)).max();
            victims.push(Reverse((used.unwrap_or_else(|| created_at(image)), Victim::Image(image.id.clone()))));
        }
        let oldest_of_cache = || self.keeper.get().and_then(|keeper| keeper.oldest_use());
        victims.extend(oldest_of_cache().map(|at| Reverse((at, Victim::Cache))));
        while let Some(Reverse((_, victim))) = victims.pop() {
            match victim {
                Victim::Image(id) => self.remove_unused(&id, &mut report)?,
                Victim::Cache => {
                    if self.keeper.get().is_some_and(|keeper| keeper.forget_oldest()) {
                        victims.extend(oldest_of_cache().map(|at| Reverse((at, Victim::Cache))));
                    }
                }
            }
            let swept = self.collect()?;
            report.space_bytes += swept.bytes;
            report.removed.extend(swept.layers.iter().map(|chain| Removed::Deleted(chain.to_string())));
            if !marks.low.is_passed(self.level(root)?) {
                break;
            }
        }
        let reclaimed = [("reclaimed".to_owned(), report.space_bytes.to_string())];
        self.bus.publish("image", "prune", "", reclaimed.into());
        Ok(report)
    }

    /// Removes an image that has neither container nor child by now; one that has is left out.
    fn remove_unused(&self, id: &Digest, report: &mut PruneReport) -> Result<()> {
        let _changes = self.lock_changes();
        let is_needed = self.view(|now| !now.images.contains_key(id) || now.has_children(id));
        if is_needed || !self.containers_of(id).is_empty() {
            return Ok(());
        }
        self.remove(id.as_str(), true, false, &mut report.removed)
    }

    fn level(&self, root: &Path) -> Result<Level> {
        let system = rustix::fs::statvfs(root).map_err(|errno| crate::Error::File {
            act: "ask the file system of",
            path: root.display().to_string(),
            source: errno.into(),
        })?;
        // As df counts: what only root may use is not available.
        let used = system.f_blocks.saturating_sub(system.f_bfree) as f64;
        let percent = 100.0 * used / (used + system.f_bavail as f64).max(1.0);
        let mut bytes: u64 = self.snapshots.layers()?.iter().map(|layer| layer.bytes).sum();
        for blob in self.content.list()? {
            bytes += self.content.size(&blob).unwrap_or(0);
        }
        Ok(Level { percent, bytes })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sections_are_read_or_refused() {
        let read = |section: Value| Watermarks::parse(&section);
        let marks = read(json!({"high": "85%", "low": "70.5 %", "interval": 5})).expect("percentages");
        assert_eq!((marks.low, marks.interval.as_secs()), (Mark::Percent(70.5), 5));
        assert!(marks.high.is_passed(Level { percent: 85.1, bytes: 0 }));
        assert!(!marks.high.is_passed(Level { percent: 85.0, bytes: u64::MAX }));
        let marks = read(json!({"high": "2GiB", "low": "1g"})).expect("sizes");
        assert!(marks.high.is_passed(Level { percent: 0.0, bytes: (2 << 30) + 1 }));
        for (section, reason) in [
            (json!([]), "must be an object"),
            (json!({"high": "85%"}), "low is missing"),
            (json!({"high": "85%", "low": "85%"}), "low must be below high"),
            (json!({"high": "85%", "low": "1GB"}), "must both be"),
            (json!({"high": "185%", "low": "1%"}), "high must be a percentage"),
            (json!({"high": "85%", "low": "x"}), "low must be a percentage"),
            (json!({"high": "85%", "low": "1%", "interval": 0}), "interval"),
            (json!({"high": "85%", "low": "1%", "middle": "2%"}), "unknown key"),
        ] {
            let refused = read(section.clone()).expect_err("refused");
            assert!(refused.contains(reason), "{section}: {refused}");
        }
    }
}
