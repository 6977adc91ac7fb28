//! Counters for Prometheus (text exposition format 0.0.4).

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::ledger::list::Sums;

/// What requests are about.
pub const ACTIONS: [&str; 8] = ["pull", "push", "delete", "catalog", "token", "base", "metrics", "other"];
/// Upper bounds of the times, in seconds.
const BOUNDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];

macro_rules! counters {
    ($($name:ident $text:literal $help:literal,)*) => {
        /// All counters.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $help] pub $name: AtomicU64,)*
            requests: [[AtomicU64; 5]; ACTIONS.len()],
            times: [AtomicU64; BOUNDS.len() + 1],
            time_us: AtomicU64,
        }

        impl Metrics {
            fn plain(&self, text: &mut String) {
                $(line(text, concat!("berth_registry_", $text), $help, "counter", self.$name.load(Ordering::Relaxed));)*
            }
        }
    };
}

counters! {
    received_bytes "received_bytes_total" "Bytes of blobs and manifests that came in.",
    sent_bytes "sent_bytes_total" "Bytes of blobs and manifests that were sent or being sent.",
    connections "connections_total" "Connections taken.",
    refused_connections "refused_connections_total" "Connections over a limit.",
    limited "limited_requests_total" "Requests over a rate.",
    failures "authentication_failures_total" "Wrong names, passwords and tokens.",
    mirror_hits "mirror_hits_total" "Mirrored content that was here.",
    mirror_misses "mirror_misses_total" "Mirrored content that had to be fetched.",
    mirror_stale "mirror_stale_total" "Tags served although the upstream could not be asked.",
    upstream_requests "upstream_requests_total" "Requests to upstreams.",
    upstream_bytes "upstream_bytes_total" "Bytes fetched from upstreams.",
    evicted_bytes "mirror_evicted_bytes_total" "Bytes of mirrored blobs dropped for the quota.",
    collected_blobs "collected_blobs_total" "Blobs removed by garbage collection.",
    collected_bytes "collected_bytes_total" "Bytes removed by garbage collection.",
    broken "broken_total" "Blobs and manifests that a scrub found broken.",
}

fn line(text: &mut String, name: &str, help: &str, kind: &str, value: u64) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Metrics {
    /// Counts a request.
    pub fn request(&self, action: &str, status: u16, took: Duration) {
        let action = ACTIONS.iter().position(|known| *known == action).unwrap_or(ACTIONS.len() - 1);
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        add(&self.requests[action][class], 1);
        let bound = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(BOUNDS.len());
        add(&self.times[bound], 1);
        add(&self.time_us, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self, sums: &Sums, uploads: u64, open: u64) -> String {
        let mut text = String::new();
        let name = "berth_registry_requests_total";
        let _ = write!(text, "# HELP {name} Requests by action and class of status.\n# TYPE {name} counter\n");
        for (action, classes) in ACTIONS.iter().zip(&self.requests) {
            for (class, count) in classes.iter().enumerate().filter(|(_, count)| count.load(Ordering::Relaxed) > 0) {
                let count = count.load(Ordering::Relaxed);
                let _ = writeln!(text, "{name}{{action=\"{action}\",code=\"{}xx\"}} {count}", class + 1);
            }
        }
        let name = "berth_registry_request_duration_seconds";
        let _ = write!(text, "# HELP {name} Until the answer begins.\n# TYPE {name} histogram\n");
        let mut total = 0;
        for (index, count) in self.times.iter().enumerate() {
            total += count.load(Ordering::Relaxed);
            let bound = BOUNDS.get(index).map_or_else(|| "+Inf".to_owned(), ToString::to_string);
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {total}");
        }
        let sum_s = self.time_us.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = write!(text, "{name}_sum {sum_s}\n{name}_count {total}\n");
        self.plain(&mut text);
        for (name, help, value) in [
            ("repositories", "Repositories.", sums.repositories),
            ("tags", "Tags.", sums.tags),
            ("manifests", "Manifests.", sums.manifests),
            ("blobs", "Blobs in the store.", sums.blobs),
            ("blob_bytes", "Bytes of blobs in the store.", sums.blob_bytes),
            ("uploads", "Uploads under way.", uploads),
            ("open_connections", "Connections open.", open),
        ] {
            line(&mut text, &format!("berth_registry_{name}"), help, "gauge", value);
        }
        text
    }
}
