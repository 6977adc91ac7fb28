//! `create`: a definition, and the files that it needs.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{
    Error, Machines, Result, copy,
    definition::{check_name, is_own},
    files::{self, Draft},
    machines::{blocking, own_files},
    qcow2,
    record::{Definition, Format},
};

/// A disk is at most so large, in bytes.
const DISK_BYTES_MAX: u64 = 64 << 40;
const DISK_BYTES_MIN: u64 = 1 << 20;

/// A machine to be created.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// What it is; uuid and hardware addresses are made where they are missing.
    pub definition: Definition,
    /// How the files of its own come to be.
    #[serde(default)]
    pub files: Vec<Fill>,
}

/// How a file of a machine's own comes to be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// Its name, as disks name it.
    pub name: String,
    /// An empty disk of this size, in bytes.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    /// A copy of this file of the host; a qcow2 image becomes a raw disk. With a size, the disk is made so large.
    #[serde(default)]
    pub from: Option<PathBuf>,
}

impl Machines {
    /// Creates a machine, which is off then.
    ///
    /// # Errors
    /// What is wrong with the request; nothing is left of it.
    pub async fn create(&self, request: Create) -> Result<Definition> {
        let Create { mut definition, files } = request;
        definition.identify(false);
        definition.check()?;
        self.shared.require_free(&definition.name)?;
        let root = self.shared.root();
        let made = blocking(move || {
            let draft = Draft::below(&root)?;
            let own = own_files(&draft.path);
            files::make_directory(&own)?;
            fill(&own, &definition, &files)?;
            require_own(&own, &definition)?;
            require_formats(&own, &definition)?;
            files::write_definition(&draft.path, &definition)?;
            draft.settle(&root.join(&definition.name), "machine")?;
            Ok(definition)
        })
        .await?;
        let machine = self.shared.insert(made.clone());
        self.shared.publish(&machine, "create");
        Ok(made)
    }
}

fn fill(own: &Path, definition: &Definition, fills: &[Fill]) -> Result<()> {
    for fill in fills {
        check_name("file of a machine", &fill.name)?;
        if !definition.sources().contains(&fill.name.as_str()) {
            return Err(Error::invalid(format!("nothing of the machine is in the file {}", fill.name)));
        }
        let path = own.join(&fill.name);
        match (&fill.from, fill.size_bytes) {
            (None, None) => {
                return Err(Error::invalid(format!("the file {} has neither a size nor something to copy", fill.name)));
            }
            (None, Some(bytes)) => set_size(&copy::create(&path)?, &path, bytes)?,
            (Some(from), bytes) => {
                take_disk(from, &path)?;
                if let Some(bytes) = bytes {
                    let file = std::fs::OpenOptions::new().write(true).open(&path);
                    grow(&file.map_err(Error::file("open", &path))?, &path, bytes)?;
                }
            }
        }
    }
    Ok(())
}

/// Copies an image; one of qcow2 becomes raw.
fn take_disk(from: &Path, to: &Path) -> Result<()> {
    if !from.is_absolute() {
        return Err(Error::invalid(format!("{} is no absolute path", from.display())));
    }
    let file = copy::open(from)?;
    let mut magic = [0; 4];
    let is_qcow2 =
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut magic, 0).is_ok() && qcow2::Header::is_at(&magic);
    if !is_qcow2 {
        return copy::disk(from, to);
    }
    let mut image = qcow2::Image::open(file)?;
    qcow2::to_raw(&mut image, &copy::create(to)?).map(drop)
}

fn set_size(file: &std::fs::File, path: &Path, bytes: u64) -> Result<()> {
    if !(DISK_BYTES_MIN..=DISK_BYTES_MAX).contains(&bytes) || !bytes.is_multiple_of(512) {
        return Err(Error::invalid(format!(
            "a disk of {bytes} bytes cannot be: whole sectors of 512 bytes, from 1 MiB to 64 TiB"
        )));
    }
    file.set_len(bytes).map_err(Error::file("size", path))
}

fn grow(file: &std::fs::File, path: &Path, bytes: u64) -> Result<()> {
    let now = file.metadata().map_err(Error::file("look at", path))?.len();
    if bytes < now {
        return Err(Error::invalid(format!("the image has {now} bytes, and is not cut to {bytes}")));
    }
    set_size(file, path, bytes)
}

/// Every file of its own that a definition names is there.
pub(crate) fn require_own(own: &Path, definition: &Definition) -> Result<()> {
    for source in definition.sources().into_iter().filter(|source| is_own(source)) {
        let path = own.join(source);
        if !std::fs::symlink_metadata(&path).is_ok_and(|facts| facts.is_file()) {
            return Err(Error::invalid(format!(
                "the machine has no file {source}: give its size, an image to copy, or a path of the host"
            )));
        }
    }
    Ok(())
}

/// What is said to be qcow2 is, and needs no other file unless that was allowed.
pub(crate) fn require_formats(own: &Path, definition: &Definition) -> Result<()> {
    for disk in &definition.disks {
        let path = crate::qemu::path_of(own, &disk.source);
        match disk.format {
            Format::Qcow2 => drop(crate::backing::chain(&path, disk.allow_backing)?),
            Format::Raw => copy::require_file(&path)?,
        }
    }
    Ok(())
}
