//! `local`: berth's own framed binary files; compressed when put aside.

pub mod frame;

use std::path::Path;

use crate::{
    Entry, LogDriver, Result,
    option::Rotation,
    rotate::{Framing, RotatingFile},
};

/// Appends to `<path>`.
pub(crate) struct Local {
    file: RotatingFile,
}

impl Local {
    /// Opens `path`.
    pub fn open(path: &Path, rotation: Rotation) -> Result<Self> {
        let framing = Framing { magic: frame::MAGIC, mend: frame::mend };
        Ok(Self { file: RotatingFile::open(path, rotation, framing)? })
    }
}

impl LogDriver for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn write(&mut self, entry: &Entry<'_>) -> Result<()> {
        self.file.append(entry.bytes.len() + frame::OVERHEAD, |out| frame::encode(out, entry))
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }

    fn close(&mut self) -> Result<()> {
        self.file.close()
    }
}
