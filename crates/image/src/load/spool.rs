//! An image archive is read once, in whatever order: layers go to the content store, JSON stays in memory.

use std::{
    collections::HashMap,
    io::{Cursor, Read},
};

use berth_archive::{
    compression,
    tar::{BLOCK_BYTES, Kind, Reader},
};

use crate::{
    Error, Result,
    layer::{self, Stored},
};

/// Most entries of an image archive.
const ENTRIES_MAX: usize = 100_000;
/// Longest JSON document, and most bytes of all of them.
const DOCUMENT_BYTES_MAX: u64 = 8 << 20;
const DOCUMENTS_BYTES_MAX: u64 = 64 << 20;

/// The files of an image archive by their clean paths.
#[derive(Debug, Default)]
pub struct Archive {
    documents: HashMap<String, Vec<u8>>,
    layers: HashMap<String, Stored>,
    /// Links between files of the archive: Docker before 25 wrote equal layers once.
    links: HashMap<String, String>,
    document_bytes: u64,
}

impl Archive {
    /// A file that was kept in memory.
    pub fn document(&self, path: &str) -> Option<&[u8]> {
        self.documents.get(self.target(path)?.as_str()).map(Vec::as_slice)
    }

    /// A file that was kept in the content store.
    pub fn layer(&self, path: &str) -> Option<&Stored> {
        self.layers.get(self.target(path)?.as_str())
    }

    /// The clean path that `path` means, after links.
    fn target(&self, path: &str) -> Option<String> {
        let mut path = clean(path)?;
        for _ in 0..8 {
            match self.links.get(&path) {
                Some(next) => path.clone_from(next),
                None => return Some(path),
            }
        }
        None
    }
}

/// Reads a whole archive, compressed or not.
pub fn spool(content: &berth_content::Store, reader: impl Read + Send) -> Result<Archive> {
    let mut reader = Reader::new(compression::decoder(reader)?);
    let mut archive = Archive::default();
    let mut entries = 0;
    while let Some(entry) = reader.next_entry()? {
        entries += 1;
        if entries > ENTRIES_MAX {
            return Err(Error::archive(format!("more than {ENTRIES_MAX} entries")));
        }
        let text = String::from_utf8_lossy(&entry.path).into_owned();
        let Some(path) = clean(&text) else {
            return Err(Error::archive(format!("the path {text:?} leaves the archive")));
        };
        match entry.kind {
            Kind::File => archive.add(content, path, entry.size, &mut reader)?,
            Kind::Symlink => {
                let target = String::from_utf8_lossy(&entry.link).into_owned();
                let below = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                archive.link(&path, &format!("{below}/{target}"));
            }
            Kind::HardLink => archive.link(&path, &String::from_utf8_lossy(&entry.link)),
            _ => {}
        }
    }
    reader.drain()?;
    Ok(archive)
}

impl Archive {
    fn link(&mut self, path: &str, target: &str) {
        if let Some(target) = clean(target).filter(|target| target != path) {
            self.links.insert(path.to_owned(), target);
        }
    }

    fn add(&mut self, content: &berth_content::Store, path: String, size: u64, reader: &mut impl Read) -> Result<()> {
        let mut head = Vec::with_capacity(BLOCK_BYTES);
        reader.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut head).map_err(layer::read_failed)?;
        let is_layer = looks_like_layer(&head)?;
        if is_layer {
            let stored = layer::store(content, Cursor::new(head).chain(reader))?;
            if let Some(promised) = path.strip_prefix("blobs/sha256/").filter(|hex| *hex != stored.raw.hex()) {
                return Err(Error::archive(format!("the blob sha256:{promised} has the digest {}", stored.raw)));
            }
            self.layers.insert(path, stored);
            return Ok(());
        }
        let is_document = head.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| b"{[".contains(byte));
        if !is_document {
            return Ok(());
        }
        self.document_bytes += size;
        if size > DOCUMENT_BYTES_MAX || self.document_bytes > DOCUMENTS_BYTES_MAX {
            return Err(Error::archive(format!("the document {path} is too large")));
        }
        reader.read_to_end(&mut head).map_err(layer::read_failed)?;
        self.documents.insert(path, head);
        Ok(())
    }
}

/// Whether a file with these first bytes is a layer: compressed, a tar, or an empty tar.
fn looks_like_layer(head: &[u8]) -> Result<bool> {
    if compression::of_head(head)? != berth_archive::Compression::None {
        return Ok(true);
    }
    let is_tar = head.get(257..262) == Some(b"ustar");
    Ok(is_tar || (head.len() == BLOCK_BYTES && head.iter().all(|byte| *byte == 0)))
}

/// A path without `.`, `..` and leading slash; `None` when it leaves the archive.
fn clean(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
