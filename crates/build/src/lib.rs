//! Builds: stages as a graph of steps, run at once, each remembered by what it read.
//!
//! ```text
//! Request ─► plan: which stages the target needs ─► all of them at once ─► stage: its instructions in order
//!                                                                             │
//!    key of a step = layers below + instruction + checksums of what it reads ─┤
//!                                                                             ├─ known: its layer is taken
//!                                                                             └─ else: run or copy ─► upper ─► layer
//! ```
//!
//! A stage that needs another waits for that one alone. Dropping the future of [`Builder::build`] cancels: commands
//! are killed, half-made layers go.
//!
//! # On disk
//!
//! ```text
//! <data root>/berth.db             records "build-step" (the cache), "build-history"
//! <data root>/build/work/<id>/     contexts and secrets of running builds; swept at the start
//! <data root>/build/context/<key>/ folders of clients, kept between builds
//! <data root>/build/cache/<id>/    folders of RUN --mount=type=cache
//! <data root>/build/remote/<key>/  downloads and checkouts
//! ```
//!
//! Layers and blobs lie with those of the images; [`berth_image::Keeper`] keeps them from being collected.

mod attest;
mod builder;
mod cache;
mod checksum;
mod context;
mod copy;
mod error;
mod event;
mod exchange;
mod explain;
mod fetch;
mod files;
mod finish;
mod history;
mod layer;
mod mount;
mod place;
mod plan;
mod request;
mod run;
mod select;
mod stage;
mod state;
mod tree;
mod usage;

pub use attest::{Attest, Version as ProvenanceVersion};
pub use builder::{Builder, Built, Finished};
pub use cache::Entry;
pub use context::{ContextEntry, ContextStore, Sync};
pub use error::{Error, Result};
pub use event::{Event, EventSender, Log, Outcome, Status, Vertex, Warning};
pub use exchange::{CacheFrom, CacheTo};
pub use fetch::RemoteContext;
pub use history::{BuildRecord, HistoryFilter};
pub use request::{Allowed, Client, ContextSource, Folder, NoCache, NoClient, Request, Source};
pub use usage::{PruneReport, PruneRequest};
