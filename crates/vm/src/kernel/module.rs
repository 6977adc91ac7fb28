//! Kernel modules: which files, in which order (`modinfo`'s `depends=` in each file's `.modinfo` section).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// What a guest needs. Those that a kernel has built in, or lacks, are left out.
pub const WANTED: &[&str] = &[
    "virtio_mmio",
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "virtio_net",
    "virtio_rng",
    "virtio_balloon",
    "virtiofs",
    "vmw_vsock_virtio_transport",
    "erofs",
    "ext4",
    "overlay",
];

/// What has to be there for a module to be of use in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: every guest uses it.
    Nothing,
    /// A PCI bus.
    Pci,
    /// A virtio device of this kind (Virtual I/O Device 1.2, section 5).
    Virtio(u32),
}

/// What `module` is for; loading what a guest has no device for costs a tenth of a boot.
#[must_use]
pub fn need(module: &str) -> Need {
    match module {
        "virtio_pci" | "virtio_pci_legacy_dev" | "virtio_pci_modern_dev" => Need::Pci,
        "virtio_net" | "net_failover" | "failover" => Need::Virtio(1),
        "virtio_rng" | "rng_core" => Need::Virtio(4),
        "virtio_balloon" => Need::Virtio(5),
        "vsock" | "vmw_vsock_virtio_transport_common" | "vmw_vsock_virtio_transport" => Need::Virtio(19),
        "virtiofs" | "fuse" => Need::Virtio(26),
        _ => Need::Nothing,
    }
}

/// The largest module, in bytes.
const MODULE_BYTES_MAX: u64 = 16 << 20;
/// Directories deep.
const DEPTH_MAX: usize = 12;

/// A module's name and contents.
pub type Module = (String, Vec<u8>);

/// Reads the wanted modules below `directory` with all they depend on, each after those it needs.
///
/// # Errors
/// [`Error::File`] and [`Error::Malformed`].
pub fn closure(directory: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    find(directory, &mut files, DEPTH_MAX)?;
    let mut taken: Vec<Module> = Vec::new();
    for name in wanted {
        take(name, &files, &mut taken, DEPTH_MAX)?;
    }
    Ok(taken)
}

fn find(directory: &Path, files: &mut BTreeMap<String, PathBuf>, depth: usize) -> Result<()> {
    for entry in std::fs::read_dir(directory).map_err(Error::file("read", directory))? {
        let entry = entry.map_err(Error::file("read", directory))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::file("read", &path))?;
        if kind.is_dir() && depth > 0 {
            find(&path, files, depth - 1)?;
        } else if kind.is_file()
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
            && let Some((stem, _)) = name.split_once(".ko")
        {
            files.insert(stem.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn take(name: &str, files: &BTreeMap<String, PathBuf>, taken: &mut Vec<Module>, depth: usize) -> Result<()> {
    let Some(path) = files.get(name).filter(|_| !taken.iter().any(|(known, _)| known == name)) else { return Ok(()) };
    if depth == 0 {
        return Err(Error::malformed(path.display().to_string(), "its dependencies are a circle"));
    }
    let size = std::fs::metadata(path).map_err(Error::file("read", path))?.len();
    if size > MODULE_BYTES_MAX {
        return Err(Error::malformed(path.display().to_string(), "it is too large for a module"));
    }
    let bytes = plain(path, std::fs::read(path).map_err(Error::file("read", path))?)?;
    for needed in depends(&bytes) {
        take(&needed.replace('-', "_"), files, taken, depth - 1)?;
    }
    taken.push((name.to_owned(), bytes));
    Ok(())
}

/// The module, unpacked when it is packed with something that the engine knows.
fn plain(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>> {
    use std::io::Read as _;
    if bytes.starts_with(b"\x7fELF") {
        return Ok(bytes);
    }
    let bad = |reason: String| Error::malformed(path.display().to_string(), reason);
    let decoder =
        berth_archive::compression::decoder(std::io::Cursor::new(bytes)).map_err(|error| bad(error.to_string()))?;
    let mut unpacked = Vec::new();
    decoder.take(MODULE_BYTES_MAX).read_to_end(&mut unpacked).map_err(|error| bad(error.to_string()))?;
    if unpacked.starts_with(b"\x7fELF") { Ok(unpacked) } else { Err(bad("it is no ELF file".to_owned())) }
}

/// Names in `depends=`, and those in `softdep=pre:`, without which a module may load but not work.
fn depends(module: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for record in module.split(|byte| *byte == 0) {
        if let Some(list) = record.strip_prefix(b"depends=") {
            let list = String::from_utf8_lossy(list);
            names.extend(list.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
        } else if let Some(list) = record.strip_prefix(b"softdep=pre:") {
            let list = String::from_utf8_lossy(list);
            let before = list.split_whitespace().take_while(|word| *word != "post:");
            names.extend(before.map(str::to_owned));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(dir: &Path, name: &str, depends: &str) {
        let text = format!("\x7fELF\0license=GPL\0depends={depends}\0x=1\0");
        std::fs::write(dir.join(name), text).expect("write");
    }

    #[test]
    fn what_is_needed_comes_first() {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::create_dir(dir.path().join("sub")).expect("mkdir");
        module(dir.path(), "virtio.ko", "");
        module(&dir.path().join("sub"), "virtio-rng.ko", "virtio,rng-core");
        module(dir.path(), "rng-core.ko", "");
        module(dir.path(), "unwanted.ko", "");
        let names: Vec<String> = closure(dir.path(), &["virtio_rng", "built_in"])
            .expect("closure")
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["virtio", "rng_core", "virtio_rng"]);
    }

    #[test]
    fn what_has_a_need_is_wanted_or_needed_by_what_is() {
        let all =
            ["virtio_pci", "virtio_net", "virtio_rng", "virtio_balloon", "virtiofs", "vmw_vsock_virtio_transport"];
        assert!(all.iter().all(|name| WANTED.contains(name) && need(name) != Need::Nothing));
        for name in ["virtio_mmio", "virtio_blk", "virtio_console", "erofs", "ext4", "overlay"] {
            assert!(WANTED.contains(&name) && need(name) == Need::Nothing, "{name}");
        }
    }

    #[test]
    fn a_circle_and_a_lie_are_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        module(dir.path(), "a.ko", "b");
        module(dir.path(), "b.ko", "a");
        assert!(closure(dir.path(), &["a"]).is_err());
        std::fs::write(dir.path().join("c.ko"), "#!/bin/sh").expect("write");
        assert!(closure(dir.path(), &["c"]).is_err());
    }
}
