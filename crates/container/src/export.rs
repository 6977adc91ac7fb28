//! `export`: the whole root file system as an archive, mounts left out.

use std::{
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use berth_archive::pack::{self, TreeOptions};

use crate::{ByteStream, Containers, Result, archive::produce, rootfs::blocking};

impl Containers {
    /// The container's layers as one archive; what is mounted into it is not part of them.
    ///
    /// # Errors
    /// What stops the layers from being mounted; later failures end the stream with an error.
    pub async fn export(&self, name: &str) -> Result<ByteStream> {
        let container = self.shared.find(name)?;
        if crate::machine::is_wanted(&container.read()) {
            self.shared.publish(&container, "export", &[]);
            return Ok(self.machine_export(&container));
        }
        let mut rootfs = self.rootfs_of(&container.read().clone())?;
        // A second writable mount of a live upper directory is undefined: its layers are read through a read-only one.
        if container.status().is_alive() {
            rootfs.read_only = true;
            rootfs.lower.insert(0, rootfs.upper.clone());
        }
        let fd = blocking(move || Ok(rootfs.mount(None)?)).await?;
        self.shared.publish(&container, "export", &[]);
        let options = TreeOptions { exclude: vec![PathBuf::from(".dockerenv")], ..TreeOptions::default() };
        produce(move |output| {
            pack::tree(fd.as_fd(), Path::new("/"), output, &options)
                .map(drop)
                .map_err(|error| std::io::Error::other(error.to_string()))
        })
    }
}
