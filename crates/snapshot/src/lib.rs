//! Layers and root file systems: what an image is made of on disk, and what a container writes to.
//!
//! [`Snapshotter`] is the seam; [`overlay::Overlay`] is the one that containers use, [`erofs::Erofs`] the one whose
//! layers are read-only images, [`copy::Copy`] the trivial one for file systems on which overlay does not work. All
//! keep the same tree on disk:
//!
//! ```text
//! <root>/layers/<hex of chain id>/layer.json   {chain_id, parent, bytes}; written before the layer appears
//! <root>/layers/<hex of chain id>/fs/          the layer: its own files, whiteouts as overlay wants them
//! <root>/layers/<hex of chain id>/image        erofs: the layer as an image, mounted on fs/ while it is needed
//! <root>/containers/<key>/upper/               what the container wrote (copy: its whole tree)
//! <root>/containers/<key>/work/                overlay's own
//! <root>/containers/<key>/disk                 a limited snapshot: a file system in a file, mounted on volume/, which
//! <root>/containers/<key>/volume/              then holds upper/ and work/
//! <root>/containers/<key>/top                  a link to the top layer; absent when there is none
//! <root>/drafts/<random>/                      layers being unpacked; swept when the store opens
//! <root>/trash/<random>/                       things being removed; swept when the store opens
//! <root>/skeleton/                             the lowest layer of all: mount points that an image may lack
//! ```
//!
//! Every appearance and disappearance is one `rename(2)`, so a crash leaves whole things, drafts or trash.
//! All ids on disk are the container's own (0 is its root): the shift to the host's ids is a property of the mount,
//! never of the files. See [`Rootfs::mount`].

mod attached;
pub mod contract;
pub mod copy;
pub mod disk;
pub mod erofs;
mod error;
mod layer;
mod limit;
pub mod overlay;
mod rootfs;
mod skeleton;
mod snapshotter;
mod tree;

pub use disk::BYTES_MIN as LIMIT_BYTES_MIN;
pub use error::{Error, Result};
pub use layer::{Layer, LayerDraft};
pub use rootfs::{Rootfs, Scaffold};
pub use snapshotter::Snapshotter;
