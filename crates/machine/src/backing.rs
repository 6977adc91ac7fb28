//! The files that a qcow2 disk needs beside itself: none, unless that was allowed.

use std::path::{Path, PathBuf};

use crate::{
    Error, Result, copy,
    qcow2::{Header, image::read_header},
};

/// More images one upon another are refused.
const DEPTH_MAX: usize = 16;

/// One image of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Where it is.
    pub path: PathBuf,
    /// qcow2, or raw.
    pub is_qcow2: bool,
    /// Where its data are, when they are in a file of their own.
    pub data_file: Option<PathBuf>,
}

/// The image at `path`, and those that it builds upon, the uppermost first.
///
/// # Errors
/// [`Error::Invalid`] for an image that is none, or needs other files without being allowed to.
pub fn chain(path: &Path, allowed: bool) -> Result<Vec<Layer>> {
    let mut chain = Vec::new();
    let mut path = path.to_owned();
    loop {
        let header = read_header(&copy::open(&path)?).map_err(|error| of(&path, &error))?;
        if let Some(needed) = header.backing.as_deref().or(header.data_file.as_deref())
            && !allowed
        {
            return Err(Error::invalid(format!(
                "{} needs another file, {needed:?}: make it whole with qemu-img convert, or allow it with allow_backing = true",
                path.display()
            )));
        }
        let data_file = data_file(&path, &header)?;
        chain.push(Layer { path: path.clone(), is_qcow2: true, data_file });
        let Some(name) = &header.backing else { return Ok(chain) };
        if chain.len() == DEPTH_MAX {
            return Err(Error::invalid(format!("{} builds upon more than {DEPTH_MAX} images", path.display())));
        }
        let below = beside(&path, name)?;
        match header.backing_format.as_deref() {
            Some("qcow2") => path = below,
            Some("raw") => {
                copy::require_file(&below)?;
                chain.push(Layer { path: below, is_qcow2: false, data_file: None });
                return Ok(chain);
            }
            _ => {
                return Err(Error::invalid(format!(
                    "{} does not say which format its backing file has: qemu-img rebase -u -b FILE -F FORMAT",
                    path.display()
                )));
            }
        }
    }
}

fn data_file(path: &Path, header: &Header) -> Result<Option<PathBuf>> {
    match header.data_file.as_deref() {
        None => Ok(None),
        Some("") => Err(Error::invalid(format!("{} does not name its data file", path.display()))),
        Some(name) => {
            let data = beside(path, name)?;
            copy::require_file(&data)?;
            Ok(Some(data))
        }
    }
}

/// A name in an image is a path, absolute or beside the image; protocols (`nbd:`, `json:`) are none.
fn beside(path: &Path, name: &str) -> Result<PathBuf> {
    let first = name.split('/').next().unwrap_or_default();
    if first.contains(':') || name.contains(|sign: char| sign.is_control()) {
        return Err(Error::invalid(format!("{} names {name:?}, which is no file", path.display())));
    }
    Ok(path.parent().unwrap_or(Path::new("/")).join(name))
}

fn of(path: &Path, error: &Error) -> Error {
    Error::invalid(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(path: &Path, backing: Option<(&str, &str)>) {
        let mut bytes = vec![0u8; 1024];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, b"QFI\xfb\0\0\0\x03");
        put(20, &9u32.to_be_bytes());
        put(24, &512u64.to_be_bytes());
        put(36, &1u32.to_be_bytes());
        put(40, &512u64.to_be_bytes());
        put(100, &104u32.to_be_bytes());
        if let Some((name, format)) = backing {
            put(8, &300u64.to_be_bytes());
            put(16, &(name.len() as u32).to_be_bytes());
            put(300, name.as_bytes());
            if !format.is_empty() {
                put(104, &0xe279_2acau32.to_be_bytes());
                put(108, &(format.len() as u32).to_be_bytes());
                put(112, format.as_bytes());
            }
        }
        std::fs::write(path, bytes).expect("write");
    }

    #[test]
    fn chains_are_followed_only_where_that_was_allowed() {
        let dir = tempfile::tempdir().expect("tempdir");
        let at = |name: &str| dir.path().join(name);
        image(&at("top"), Some(("middle", "qcow2")));
        image(&at("middle"), Some((at("base").to_str().expect("text"), "raw")));
        std::fs::write(at("base"), "bytes").expect("write");
        assert!(chain(&at("top"), false).expect_err("refused").to_string().contains("allow_backing"));
        let found = chain(&at("top"), true).expect("chain");
        let names: Vec<_> = found.iter().map(|layer| (layer.path.clone(), layer.is_qcow2)).collect();
        assert_eq!(names, [(at("top"), true), (at("middle"), true), (at("base"), false)]);
        image(&at("loop"), Some(("loop", "qcow2")));
        assert!(chain(&at("loop"), true).expect_err("a loop").to_string().contains("more than 16"));
        for (name, format, word) in [
            ("nbd://host/x", "qcow2", "no file"),
            ("json:{\"driver\":\"file\"}", "raw", "no file"),
            ("base", "", "rebase"),
            ("base", "vmdk", "rebase"),
            ("missing", "raw", "missing"),
            ("base", "qcow2", "header"),
        ] {
            image(&at("bad"), Some((name, format)));
            let text = chain(&at("bad"), true).expect_err(name).to_string();
            assert!(text.contains(word), "{name}: {text}");
        }
    }
}
