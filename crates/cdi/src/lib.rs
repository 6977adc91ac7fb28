//! Devices that vendors describe for containers: the Container Device Interface, version 1.1.
//!
//! A vendor's tool leaves files in `/etc/cdi` or `/var/run/cdi`. Each describes devices of one kind, and for each device
//! the edits of a container's specification that make it usable there: device nodes, mounts, variables, hooks.
//!
//! ```text
//! /etc/cdi/nvidia.yaml      kind nvidia.com/gpu: devices 0, 1, all
//! /var/run/cdi/nic.json     kind vendor.com/nic: device nic0           a later directory wins over an earlier one
//!       │ scan
//!       ▼
//! Registry ── resolve("nvidia.com/gpu=0") ──► edits ── apply ──► the runtime specification
//! ```
//!
//! Follows the [CDI specification](https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md).

mod apply;
mod error;
pub mod format;
mod name;
mod registry;

pub use apply::apply;
pub use error::{Error, Result};
pub use format::ContainerEdits;
pub use name::Name;
pub use registry::{Registry, parse};

/// Where vendors' files are looked for when nothing else is configured, from the weakest to the strongest.
pub const DEFAULT_DIRS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
