//! The machine monitor: a KVM guest with virtio devices, in a jail.
//!
//! ```text
//! command   `berth vmm`: a configuration in, an exit code out
//! machine   the recipe that builds a machine, the loop that turns its devices, pause, snapshot, restore
//! ├─ memory, layout       the guest's physical address space
//! ├─ boot, acpi           what the guest finds in it when it starts
//! ├─ processor            virtual processors: what they are, how they run, their state
//! ├─ legacy               the few devices of a PC that a kernel still wants: fully emulated
//! └─ virtio               para-virtual devices, one folder each, behind one register window each
//! rate      token buckets, which hold a device to a speed
//! jail      what the monitor gives up before its guest runs
//! ```
//!
//! One thread turns all devices; each virtual processor has one of its own. Nothing that a guest writes is trusted: a
//! guest can break its own devices, and nothing else.

pub mod acpi;
pub mod boot;
pub mod command;
pub mod config;
mod error;
mod jail;
pub mod layout;
mod legacy;
pub mod machine;
pub mod memory;
mod processor;
pub mod rate;
pub mod virtio;

pub use error::{Error, Result};
