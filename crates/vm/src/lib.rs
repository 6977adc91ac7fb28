//! Virtual machines as isolation: kernel, guest agent, jail, and two monitors: QEMU ([`qemu`]), and the engine's own
//! ([`vmm`]), which [`host`] chooses from and [`monitor`] starts.

pub mod doctor;
mod error;
pub mod ext4;
pub mod frame;
pub mod guest;
pub mod host;
pub mod image;
mod initramfs;
pub mod jail;
pub mod kernel;
pub mod link;
pub mod message;
mod monitor;
pub mod mux;
pub mod plan;
pub mod qemu;
pub mod template;
pub mod vmm;

pub use error::{Error, Result};
