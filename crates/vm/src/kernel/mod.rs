//! The guests' kernel: where it comes from, and what is kept of it.
//!
//! ```text
//! <root>/kernel/current          JSON [`Installed`]: which one new machines boot
//! <root>/kernel/<sha256>/vmlinux the ELF image
//! <root>/kernel/<sha256>/modules/<nn>-<name>.ko   just those a guest needs, in loading order
//! <root>/initramfs/<sha256>.program that program, for the file server of a jail
//! <root>/initramfs/<sha256>.cpio modules, and the program of the engine as the guest's init; made when first needed
//! ```

mod bzimage;
mod fetch;
mod lz4;
pub mod module;

use std::{
    fs,
    path::{Path, PathBuf},
};

use berth_kit::id;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use bzimage::to_elf;
pub use fetch::{Source, fetch};

use crate::{
    Error, Result,
    initramfs::{Archive, loaded_part},
};

/// What the file of the program is called beside its archive.
const PROGRAM: &str = "program";

/// The kernel that guests boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Version of this record.
    pub record: u32,
    /// SHA-256 of image and modules, in hexadecimal.
    pub digest: String,
    /// What it is: a release such as `6.1.0-56-cloud-amd64`, or the path it was taken from.
    pub name: String,
    /// Where it came from, for people.
    pub origin: String,
    /// Names of the modules, in loading order.
    pub modules: Vec<String>,
    /// Size of the image in bytes.
    pub bytes: u64,
}

/// What a monitor loads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// An ELF image.
    pub kernel: PathBuf,
    /// A cpio archive.
    pub initramfs: PathBuf,
    /// The engine's program as it is in the archive, by itself: the file server of a jail.
    pub agent: PathBuf,
    /// Digest of both: a template of one boot does not fit another.
    pub digest: String,
}

/// Kernels and initramfs below one directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// A store below `root`; nothing is made until something is kept.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The current kernel.
    ///
    /// # Errors
    /// [`Error::NoKernel`], [`Error::Record`].
    pub fn current(&self) -> Result<Installed> {
        let path = self.root.join("kernel/current");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| Error::Record { path, source }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::NoKernel),
            Err(error) => Err(Error::file("read", &path)(error)),
        }
    }

    /// Keeps a kernel and makes it the current one.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an image that is none, [`Error::File`].
    pub fn install(&self, source: &Source) -> Result<Installed> {
        let image = fs::read(&source.image).map_err(Error::file("read", &source.image))?;
        let elf = to_elf(&image)?;
        let modules = match &source.modules {
            Some(directory) => module::closure(directory, module::WANTED)?,
            None => Vec::new(),
        };
        let digest = digest_of(&elf, &modules);
        let home = self.root.join("kernel").join(&digest);
        if !home.exists() {
            let draft = self.root.join("kernel").join(format!("draft-{}", id::generate()));
            fs::create_dir_all(draft.join("modules")).map_err(Error::file("make", &draft))?;
            write(&draft.join("vmlinux"), &elf)?;
            for (index, (name, bytes)) in modules.iter().enumerate() {
                write(&draft.join("modules").join(format!("{index:02}-{name}.ko")), bytes)?;
            }
            // Somebody else may have been faster with the same.
            if fs::rename(&draft, &home).is_err() {
                let _ = fs::remove_dir_all(&draft);
            }
        }
        let installed = Installed {
            record: 1,
            digest,
            name: source.name.clone(),
            origin: source.origin.clone(),
            modules: modules.into_iter().map(|(name, _)| name).collect(),
            bytes: elf.len() as u64,
        };
        let text = serde_json::to_vec_pretty(&installed).unwrap_or_default();
        replace(&self.root.join("kernel/current"), &text)?;
        Ok(installed)
    }

    /// What a monitor loads: the current kernel, and an initramfs in which `agent` is the first program.
    ///
    /// # Errors
    /// [`Error::NoKernel`], [`Error::File`].
    pub fn boot(&self, agent: &Path) -> Result<Boot> {
        let installed = self.current()?;
        let home = self.root.join("kernel").join(&installed.digest);
        let stamp = stamp(agent)?;
        let digest = hex(Sha256::new().chain_update(&installed.digest).chain_update(stamp));
        let path = self.root.join("initramfs").join(format!("{digest}.cpio"));
        let program = path.with_extension(PROGRAM);
        if !path.exists() || !program.exists() {
            self.make_initramfs(&home, agent, &path)?;
        }
        Ok(Boot { kernel: home.join("vmlinux"), initramfs: path, agent: program, digest })
    }

    fn make_initramfs(&self, home: &Path, agent: &Path, path: &Path) -> Result<()> {
        let parent = self.root.join("initramfs");
        fs::create_dir_all(&parent).map_err(Error::file("make", &parent))?;
        let mut archive = Archive::default();
        for name in ["dev", "proc", "sys", "run", "modules", "tmp"] {
            archive.directory(name);
        }
        archive.device("dev/console", 5, 1);
        archive.device("dev/null", 1, 3);
        let directory = home.join("modules");
        let mut names: Vec<String> = fs::read_dir(&directory)
            .map_err(Error::file("read", &directory))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        for name in names {
            let from = directory.join(&name);
            archive.file(&format!("modules/{name}"), 0o644, &fs::read(&from).map_err(Error::file("read", &from))?);
        }
        let program = fs::read(agent).map_err(Error::file("read", agent))?;
        let program = loaded_part(&program);
        archive.file("init", 0o755, &program);
        let beside = path.with_extension(PROGRAM);
        replace(&beside, &program)?;
        fs::set_permissions(&beside, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .map_err(Error::file("make executable", &beside))?;
        replace(path, &archive.finish())?;
        self.sweep_initramfs(path)
    }

    /// Keeps the newest few: each new version of the engine makes one.
    fn sweep_initramfs(&self, newest: &Path) -> Result<()> {
        const KEPT: usize = 4;
        let parent = self.root.join("initramfs");
        let mut all: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(&parent)
            .map_err(Error::file("read", &parent))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path != newest && path.extension().is_some_and(|kind| kind == "cpio"))
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        all.sort();
        all.reverse();
        for (_, old) in all.into_iter().skip(KEPT - 1) {
            // A machine that boots from it right now has it open.
            let _ = fs::remove_file(old.with_extension(PROGRAM));
            let _ = fs::remove_file(old);
        }
        Ok(())
    }
}

/// What tells one build of the program from another, without reading it whole at each start.
fn stamp(agent: &Path) -> Result<String> {
    use std::os::unix::fs::MetadataExt as _;
    let facts = fs::metadata(agent).map_err(Error::file("read", agent))?;
    Ok(format!("{}.{}.{}.{}", facts.ino(), facts.len(), facts.mtime(), facts.mtime_nsec()))
}

fn digest_of(elf: &[u8], modules: &[module::Module]) -> String {
    let mut hash = Sha256::new();
    hash.update((elf.len() as u64).to_le_bytes());
    hash.update(elf);
    for (name, bytes) in modules {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hex(hash)
}

fn hex(hash: Sha256) -> String {
    id::hex(&hash.finalize())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(Error::file("write", path))
}

/// Writes a file by renaming a new one over it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Error::file("make", parent))?;
    }
    let fresh = path.with_extension(format!("new-{}", &id::generate()[..8]));
    write(&fresh, bytes)?;
    fs::rename(&fresh, path).map_err(Error::file("rename to", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_kept_by_content_and_boots_with_an_initramfs() {
        let dir = tempfile::tempdir().expect("tempdir");
        let store = Store::new(&dir.path().join("vm"));
        assert!(matches!(store.current(), Err(Error::NoKernel)));
        let image = dir.path().join("vmlinux");
        fs::write(&image, b"\x7fELF kernel").expect("write");
        let modules = dir.path().join("lib");
        fs::create_dir(&modules).expect("mkdir");
        fs::write(modules.join("virtio_blk.ko"), b"\x7fELF\0depends=\0").expect("write");
        let source = Source {
            image,
            modules: Some(modules),
            name: "one".to_owned(),
            origin: "a test".to_owned(),
            scratch: None,
        };
        let installed = store.install(&source).expect("install");
        assert_eq!(
            (installed.modules.as_slice(), store.current().expect("current")),
            (&["virtio_blk".to_owned()][..], installed.clone())
        );
        let agent = dir.path().join("agent");
        fs::write(&agent, "agent").expect("write");
        let boot = store.boot(&agent).expect("boot");
        let archive = fs::read(&boot.initramfs).expect("read");
        assert!(String::from_utf8_lossy(&archive).contains("modules/00-virtio_blk.ko"));
        assert_eq!(store.boot(&agent).expect("boot"), boot, "made once");
        fs::write(&agent, "another agent").expect("write");
        assert_ne!(store.boot(&agent).expect("boot").initramfs, boot.initramfs);
    }
}
