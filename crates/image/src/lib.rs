//! Images: what they are, how they come in and go out, and when they go away.
//!
//! ```text
//! pull, load, import, commit ─► layer: blob kept, unpacked by chain id ─► record, then tag ─► event
//!                                                                     │
//! tag ─► list, inspect, history, resolve, save                        │
//! remove, prune ─► record gone ─► collect: layers and blobs that no image needs
//! ```
//!
//! On disk an image is: its configuration blob (whose digest is its id), one blob a layer, one unpacked layer a chain
//! id, and the records `image/<id>`, `layer/<chain id>`, `tag/<name>`. Bytes come first and records last, so that a
//! crash leaves bytes without record, which [`Images::sweep`] removes, never a record without its bytes.
//!
//! This crate knows containers only by [`InUse`], and never touches HTTP.

mod arrival;
mod attest;
mod bring;
mod build;
mod bundle;
mod change;
mod collect;
mod commit;
mod copy;
mod error;
mod filter;
mod fsck;
mod hello;
mod history;
mod images;
mod import;
mod index;
mod inspect;
mod known;
mod layer;
mod list;
mod load;
mod pipe;
mod policy;
mod pressure;
mod prune;
mod pull;
mod push;
mod record;
mod remove;
mod resolve;
mod save;
mod squash;
mod stream;
mod tag;
mod usage;

pub use attest::{Attestation, Predicate};
pub use bring::LayerPlace;
pub use build::{Hold, Keeper, OwnLayer};
pub use bundle::Bundle;
pub use change::apply as apply_changes;
pub use collect::Swept;
pub use commit::CommitRequest;
pub use copy::CopyRequest;
pub use error::{Error, Result};
pub use filter::Filters;
pub use fsck::{Finding, FsckReport, FsckRequest, What};
pub use hello::HELLO;
pub use images::{Images, InUse};
pub use import::ImportRequest;
pub use list::ListRequest;
pub use load::parse_config;
pub use policy::Verification;
pub use pressure::Watermarks;
pub use prune::PruneReport;
pub use pull::PullRequest;
pub use push::{PushRequest, Pushed};
pub use remove::Removed;
pub use resolve::Image;
pub use stream::{ByteStream, ProgressSender};
pub use usage::Usage;
