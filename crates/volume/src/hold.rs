//! A volume that somebody other than a container looks into for a while: a copy, an export.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{Mode, OFlags};

use crate::{Error, Result, Volumes, volumes::blocking};

/// A mounted volume; it is given back when this goes.
pub struct Held {
    volumes: Volumes,
    name: String,
    user: String,
    path: PathBuf,
}

impl Held {
    /// Where its bytes are on the host.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its root, opened. Blocks.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn open(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|errno| Error::file("open volume directory", &self.path)(errno.into()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (volumes, name, user) = (self.volumes.clone(), self.name.clone(), self.user.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move { volumes.release(&name, &user).await });
    }
}

impl Volumes {
    /// Mounts the volume for `purpose`, a word that those read who want to remove it meanwhile.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`], or why it cannot be mounted.
    pub async fn hold(&self, name: &str, purpose: &str) -> Result<Held> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let user = format!("{purpose}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let path = self.acquire(name, &user).await?;
        Ok(Held { volumes: self.clone(), name: name.to_owned(), user, path })
    }

    /// Runs `act` on the root of the volume, where it may block.
    pub(crate) async fn within<T: Send + 'static>(
        &self,
        name: &str,
        purpose: &str,
        act: impl FnOnce(OwnedFd) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let held = self.hold(name, purpose).await?;
        let user = held.user.clone();
        // It goes with the work, not with whoever waits for it.
        let outcome = blocking(move || act(held.open()?)).await;
        self.release(name, &user).await;
        outcome
    }
}
