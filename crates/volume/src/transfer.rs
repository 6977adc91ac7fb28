//! `export` and `import`: the contents of a volume as a tar stream.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use berth_archive::{
    pack::{self, TreeOptions},
    unpack::{self, ExtractOptions, Limits},
};

use crate::{Error, Held, Result, Volumes};

/// Writes everything in a volume to `output`, the root's owner and mode first (`./`). Blocks.
///
/// # Errors
/// [`Error::Archive`], [`Error::File`].
pub fn export(held: &Held, output: impl Write) -> Result<()> {
    let root = held.open()?;
    let options = TreeOptions { base: Some(".".to_owned()), ..TreeOptions::default() };
    pack::tree(root.as_fd(), Path::new("/."), output, &options)?;
    Ok(())
}

impl Volumes {
    /// Unpacks an archive, compressed or not, into a volume: what has the name of an entry is replaced, the rest stays.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`], [`Error::ReadOnly`] for a snapshot, [`Error::Archive`] for what the archive does.
    pub async fn import(&self, name: &str, archive: impl Read + Send + 'static) -> Result<()> {
        let entry = self.shared.entry(name)?;
        if entry.record.read_only {
            return Err(Error::ReadOnly(name.to_owned()));
        }
        self.within(name, "import", move |root| {
            let decoded = berth_archive::compression::decoder(std::io::BufReader::new(archive))?;
            let limits = Limits { entries: u64::MAX, total_bytes: u64::MAX, ..Limits::default() };
            let options = ExtractOptions { limits, ..ExtractOptions::default() };
            unpack::extract(decoded, root.as_fd(), Path::new("."), &options)?;
            Ok(())
        })
        .await
    }
}
