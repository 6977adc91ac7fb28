//! Ground vocabulary shared by every crate: error kinds, guards, identifiers, names, sizes and times.
//!
//! Nothing here knows containers, HTTP or the kernel. A crate that needs a word all others use finds it here.

pub mod crash;
pub mod guard;
pub mod id;
pub mod kind;
pub mod name;
pub mod size;
pub mod time;

pub use kind::{Kind, Kinded};
