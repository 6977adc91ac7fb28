//! What a monitor may still do once its machine is built: a guest that takes it over finds a process that can move bytes
//! between descriptors that it has, and nothing else.
//!
//! | wall | what is left |
//! |---|---|
//! | capabilities | none, and none to come |
//! | Landlock | no file, but those below the directory for snapshots; no network, no signals outwards |
//! | system calls | those of [`calls`], KVM's by their numbers |
//!
//! The engine adds namespaces, other user ids and a control group around it (its own jail of containers).

mod calls;
mod files;

use std::path::Path;

use crate::{Error, Result};

/// Gives up files and capabilities. To be called before any thread is started: threads inherit it.
///
/// # Errors
/// [`Error::System`] when the kernel refuses; a kernel without Landlock has one wall less, which is said.
pub fn close_files(snapshots: Option<&Path>) -> Result<()> {
    drop_capabilities()?;
    files::close(snapshots)
}

/// Gives up system calls, for all threads.
///
/// # Errors
/// [`Error::System`].
pub fn close_calls() -> Result<()> {
    calls::close()
}

fn drop_capabilities() -> Result<()> {
    let failed = Error::errno("give up capabilities");
    let dropped = berth_sys::capability::ambient_clear().and_then(|()| {
        let none = berth_sys::capability::Sets { effective: 0, permitted: 0, inheritable: 0 };
        berth_sys::capability::set(&none)
    });
    dropped.map_err(failed)
}

#[cfg(test)]
mod tests;
