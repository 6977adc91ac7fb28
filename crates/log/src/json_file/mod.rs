//! `json-file`: one JSON object a line, byte for byte as Docker writes it.

pub(crate) mod format;

use std::path::Path;

use crate::{
    ContainerTags, Entry, LogConfig, LogDriver, Result, option,
    rotate::{Framing, RotatingFile},
    tag::Selection,
};

/// Appends to `<path>`.
pub(crate) struct JsonFile {
    file: RotatingFile,
    attributes: String,
    clock: format::Clock,
}

impl JsonFile {
    /// Opens `path`; labels, environment and tag go into `attrs` of each line.
    pub fn open(path: &Path, config: &LogConfig, tags: &ContainerTags) -> Result<Self> {
        let selection = Selection::parse(config)?;
        let mut attributes = selection.attributes(tags);
        if let Some(tag) = selection.tag(tags) {
            attributes.insert("tag".to_owned(), tag);
        }
        let attributes =
            if attributes.is_empty() { String::new() } else { serde_json::to_string(&attributes).unwrap_or_default() };
        let framing = Framing { magic: b"", mend: format::mend };
        let file = RotatingFile::open(path, option::rotation(config)?, framing)?;
        Ok(Self { file, attributes, clock: format::Clock::default() })
    }
}

impl LogDriver for JsonFile {
    fn name(&self) -> &'static str {
        "json-file"
    }

    fn write(&mut self, entry: &Entry<'_>) -> Result<()> {
        let Self { file, attributes, clock } = self;
        file.append(entry.bytes.len() + 96 + attributes.len(), |out| format::encode(out, entry, attributes, clock))
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }

    fn close(&mut self) -> Result<()> {
        self.file.close()
    }
}
