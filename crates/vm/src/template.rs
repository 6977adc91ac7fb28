//! Warm machines: the state of a guest that has booted and waits for its first request, kept to be restored.
//!
//! ```text
//! <root>/templates/<key>   QEMU's migration stream of a machine: devices, and all of its memory that is not zero
//! ```
//!
//! The state is read by a monitor through a descriptor that is open for reading only: no guest can change what the next
//! one starts from. What must differ between machines — clock, random numbers, names, addresses — the agent is told
//! after the restore.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use berth_kit::id;
use sha2::{Digest as _, Sha256};

use crate::{Error, Result, kernel::Boot, plan::Plan};

/// What the name of a draft begins with.
const DRAFT: &str = "draft-";
/// How many are kept.
const KEPT: usize = 6;

/// Templates below one directory.
#[derive(Debug, Clone)]
pub struct Templates {
    root: PathBuf,
}

impl Templates {
    /// Templates below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.join("templates") }
    }

    /// Where the template for machines like `plan` is, or would be. Everything that a restored machine must have in
    /// common with the one that was taken is part of the name.
    #[must_use]
    pub fn path(&self, plan: &Plan) -> PathBuf {
        let Boot { digest, .. } = &plan.boot;
        let monitor =
            fs::metadata(&plan.program).map(|facts| (facts.ino(), facts.len(), facts.mtime())).unwrap_or_default();
        let shape =
            (plan.backend, plan.memory_bytes, plan.vcpus, plan.nics, plan.disk.as_ref().map(|_| plan.disk_bytes));
        let text = format!("{digest} {shape:?} {monitor:?} {}", processor());
        self.root.join(id::hex(&Sha256::digest(text)))
    }

    /// A place to write a template to, and what is beside it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn draft(&self) -> Result<PathBuf> {
        fs::create_dir_all(&self.root).map_err(Error::file("make", &self.root))?;
        Ok(self.root.join(format!("{DRAFT}{}", id::generate())))
    }

    /// Removes all drafts: nobody is writing one.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn discard_drafts(&self) -> Result<()> {
        let Ok(entries) = fs::read_dir(&self.root) else { return Ok(()) };
        for entry in entries.filter_map(std::result::Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(DRAFT) {
                fs::remove_file(entry.path()).map_err(Error::file("remove", &entry.path()))?;
            }
        }
        Ok(())
    }

    /// Keeps a draft as the template for machines like `plan`, and the newest few of the others.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn keep(&self, draft: &Path, plan: &Plan) -> Result<()> {
        let path = self.path(plan);
        fs::rename(draft, &path).map_err(Error::file("rename to", &path))?;
        let entries = fs::read_dir(&self.root).map_err(Error::file("read", &self.root))?;
        let mut others: Vec<(std::time::SystemTime, PathBuf)> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|other| *other != path)
            .filter(|other| !other.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DRAFT)))
            .filter_map(|other| Some((fs::metadata(&other).ok()?.modified().ok()?, other)))
            .collect();
        others.sort();
        others.reverse();
        for (_, old) in others.into_iter().skip(KEPT - 1) {
            // A machine that is being restored from it has it open.
            let _ = fs::remove_file(old);
        }
        Ok(())
    }
}

/// A template of one processor may not run on another.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().find(|line| line.starts_with("model name") || line.starts_with("flags")).unwrap_or_default().to_owned()
}
