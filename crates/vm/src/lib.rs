//! Virtual machines as isolation: kernel, guest agent, and the two monitors behind one trait.

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
pub mod mux;
pub mod plan;
pub mod qemu;
pub mod template;

pub use error::{Error, Result};
