//! The cache of builds, brought from elsewhere and given to others: on a registry, in a folder, inside of an image.
//!
//! ```text
//! --cache-from ─► manifest ─► cacheconfig: keys of steps, layers ─► a step that is not known here looks there
//! --cache-to   ◄─ manifest ◄─ cacheconfig ◄──────────────────────── the steps that this build walked
//! ```
//!
//! The documents are BuildKit's (cache manifest v0), so that every tool that moves them moves these too. Keys are this
//! builder's own: a cache of another builder is read without harm and fits nothing.

mod export;
mod format;
mod import;

use berth_image::LayerPlace;
use berth_kit::time::Timestamp;
use berth_spec::{Digest, image::Descriptor};

pub(crate) use export::{Destination, inline};
pub(crate) use import::Imports;

use crate::{Folder, cache::LayerRef};

/// A step that a build walked, as others can know it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Walked {
    pub key: String,
    /// The step before.
    pub parent: Option<String>,
    /// None when it changed nothing.
    pub layer: Option<LayerRef>,
    pub created: Timestamp,
}

/// A step that somebody else's cache knows.
#[derive(Clone)]
pub(crate) struct Imported {
    /// The blob of its layer, and the digest of what is in it; none when it changed nothing.
    pub layer: Option<(Descriptor, Digest)>,
    pub created: Timestamp,
    /// Where the blob is.
    pub place: Place,
    /// The cache, for people.
    pub from: String,
}

/// Where blobs of a cache are.
#[derive(Clone)]
pub(crate) enum Place {
    Layer(LayerPlace),
    Folder(Folder),
}

/// Where a cache comes from.
#[derive(Clone)]
pub enum CacheFrom {
    /// A cache or an image on a registry, or an image that is here.
    Registry(String),
    /// An OCI layout.
    Folder(Folder),
}

/// Where a cache goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheTo {
    /// Into the image's configuration.
    Inline,
    /// Onto a registry.
    Registry {
        /// Under this name.
        reference: String,
        /// Steps of all stages, not only those of the result.
        max: bool,
    },
    /// Into a folder that the client fetches ([`crate::Builder::take_cache`]).
    Folder {
        /// As above.
        max: bool,
    },
}
