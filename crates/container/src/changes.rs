//! `diff`: which paths differ from the image.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::{Change, Containers, Error, Result, rootfs::blocking};

impl Containers {
    /// Paths that differ from the image, in order.
    ///
    /// # Errors
    /// What stops the layers from being read.
    pub async fn changes(&self, name: &str) -> Result<Vec<Change>> {
        let container = self.shared.find(name)?;
        if crate::machine::is_wanted(&container.read()) {
            let mut found = self.machine_changes(&container).await?;
            found.retain(|change| !is_engines_own(std::path::Path::new(&change.path)));
            return Ok(found);
        }
        let rootfs = self.shared.snapshots.rootfs(&container.id)?;
        blocking(move || {
            let open = |dir: &std::path::PathBuf| -> Result<OwnedFd> {
                let file = std::fs::File::open(dir).map_err(|error| Error::file("open layer", dir, error))?;
                Ok(file.into())
            };
            let upper = open(&rootfs.upper)?;
            let lowers = rootfs.lower.iter().map(open).collect::<Result<Vec<_>>>()?;
            let lowers: Vec<BorrowedFd<'_>> = lowers.iter().map(|fd| fd.as_fd()).collect();
            let found = berth_archive::changes::diff(upper.as_fd(), &lowers)?;
            let shown = found.into_iter().filter(|change| !is_engines_own(&change.path));
            Ok(shown
                .map(|change| Change { path: change.path.display().to_string(), kind: change.kind as u8 })
                .collect())
        })
        .await
    }
}

/// Mount targets that the engine makes; Docker leaves them out as well.
fn is_engines_own(path: &std::path::Path) -> bool {
    const OWN: &[&str] = &[
        "/etc/hostname",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/dev",
        "/proc",
        "/sys",
        "/dev/console",
        "/dev/pts",
        "/dev/shm",
    ];
    OWN.iter().any(|own| path == std::path::Path::new(own))
}
