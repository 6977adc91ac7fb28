//! Each kind of device, ready to be attacked: on sockets and files of its own.

use std::{
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::{UnixDatagram, UnixStream},
    },
    sync::Arc,
};

use super::super::{Device, balloon::Balloon, block::Block, console::Console, entropy::Entropy, net::Net};
use crate::config;

/// A device, the features to start it with, and what has to live as long.
pub struct Specimen {
    /// The device.
    pub device: Box<dyn Device>,
    /// All that it offers.
    pub features: u64,
    /// The other ends of its sockets.
    pub ends: Vec<OwnedFd>,
}

/// How many kinds there are.
pub const KINDS: usize = 5;

/// The `kind`th kind, counted around.
///
/// # Panics
/// Where sockets and files cannot be made.
#[must_use]
pub fn specimen(kind: usize) -> Specimen {
    let (device, ends): (Box<dyn Device>, Vec<OwnedFd>) = match kind % KINDS {
        0 => (Box::new(Entropy), Vec::new()),
        1 => (Box::new(Balloon::new(Arc::default())), Vec::new()),
        2 => block(),
        3 => {
            let (near, far) = UnixStream::pair().expect("pair");
            (Box::new(Console::on(vec![("port".to_owned(), near)]).expect("console")), vec![far.into()])
        }
        _ => {
            let (near, far) = UnixDatagram::pair().expect("pair");
            near.set_nonblocking(true).expect("nonblocking");
            far.set_nonblocking(true).expect("nonblocking");
            for _ in 0..4 {
                far.send(&[1; 1500]).expect("send");
            }
            let of = nic(config::Rate::default());
            (Box::new(Net::on(Box::new(near), &of).expect("net")), vec![far.into()])
        }
    };
    Specimen { features: device.features(), device, ends }
}

/// A network device of no tap's.
pub fn nic(rate: config::Rate) -> config::Nic {
    config::Nic { tap: "tap0".to_owned(), mac: [2, 0, 0, 0, 0, 1], receive: rate, send: rate }
}

fn block() -> (Box<dyn Device>, Vec<OwnedFd>) {
    let file = rustix::fs::memfd_create("disk", rustix::fs::MemfdFlags::CLOEXEC).expect("file");
    rustix::fs::ftruncate(&file, 1 << 20).expect("size");
    let of = config::Disk {
        path: format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
        read_only: false,
        serial: String::new(),
        volatile: true,
        rate: config::Rate::default(),
    };
    (Box::new(Block::new(&of).expect("disk")), vec![file])
}
