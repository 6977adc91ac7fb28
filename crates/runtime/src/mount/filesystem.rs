//! File systems that the init makes: they show the container's own namespaces.

use std::os::fd::OwnedFd;

use berth_sys::mount::NewFilesystem;
use berth_sys::{Errno, Result};

use super::option::Options;
use crate::error::Failure;
use crate::plan::{Kind, Planned};

/// Makes every such file system of the specification, detached, in its order; `None` for mounts that others make.
pub(crate) fn all(mounts: &[Planned]) -> std::result::Result<Vec<Option<OwnedFd>>, Failure> {
    let make = |mount: &Planned| match &mount.kind {
        Kind::Filesystem(kind) => {
            let made = make(kind, &mount.source, &mount.options);
            let what = format_args!("cannot mount {kind} on {}", mount.destination.display()).to_string();
            made.map(Some).map_err(|(errno, said)| Failure::kernel("mount", format!("{what}{said}"), errno))
        }
        _ => Ok(None),
    };
    mounts.iter().map(make).collect()
}

/// One detached file system; on failure with what the kernel said about it.
pub(crate) fn make(kind: &str, source: &str, options: &Options) -> std::result::Result<OwnedFd, (Errno, String)> {
    let new = NewFilesystem::open(kind).map_err(|errno| (errno, String::new()))?;
    let configure = || -> Result<OwnedFd> {
        if !source.is_empty() && !source.contains('\0') {
            new.text("source", source)?;
        }
        for (key, value) in &options.data {
            match value {
                Some(value) => new.text(key, value.as_str())?,
                None => new.flag(key)?,
            }
        }
        new.mount(options.set)
    };
    configure().map_err(|errno| {
        let said = new.messages();
        (errno, if said.is_empty() { said } else { format!(" ({})", said.replace('\n', "; ")) })
    })
}
