//! A small tree on the host that every attack aims at, and that must stay as it is, byte for byte.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What no container may ever read.
pub const SECRET: &str = "the canary sings";

/// A tree, and what it was when it was planted.
pub struct Canary {
    path: PathBuf,
    planted: BTreeMap<PathBuf, String>,
    // Removes it at the end; the shared one belongs to whoever runs the tests.
    _place: Option<tempfile::TempDir>,
}

impl Canary {
    /// The one of `BERTH_TEST_CANARY`, which outlives the test and is looked at when all are over; else one's own.
    pub fn shared() -> Self {
        match std::env::var_os("BERTH_TEST_CANARY") {
            Some(path) => Self::at(path.into(), None),
            None => Self::own(),
        }
    }

    /// One that an attack on a weakened build may have.
    pub fn own() -> Self {
        let place = tempfile::Builder::new().prefix("berth-canary-").tempdir().expect("a folder");
        let path = place.path().join("tree");
        plant(&path);
        Self::at(path, Some(place))
    }

    fn at(path: PathBuf, place: Option<tempfile::TempDir>) -> Self {
        if let Some(place) = &place {
            std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        let planted = look(&path);
        assert!(planted.len() >= 5, "{} is no canary", path.display());
        Self { path, planted, _place: place }
    }

    /// The top folder. It holds `secret`, `passwd` (with an account `victim` of id 4242) and a folder `sub`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same as text.
    pub fn text(&self) -> String {
        self.path.display().to_string()
    }

    /// What is different from when it was planted; empty when nothing is.
    pub fn changes(&self) -> String {
        let now = look(&self.path);
        let mut changes = String::new();
        for (path, was) in &self.planted {
            match now.get(path) {
                None => changes += &format!("{} is gone; ", path.display()),
                Some(is) if is != was => changes += &format!("{}: {was} became {is}; ", path.display()),
                Some(_) => {}
            }
        }
        for path in now.keys().filter(|path| !self.planted.contains_key(*path)) {
            changes += &format!("{} is new; ", path.display());
        }
        changes
    }
}

/// Makes the tree.
fn plant(path: &Path) {
    std::fs::create_dir_all(path.join("sub")).expect("a folder");
    std::fs::write(path.join("secret"), SECRET).expect("a file");
    std::fs::write(path.join("sub/secret"), SECRET).expect("a file");
    std::fs::write(path.join("passwd"), "root:x:0:0::/:/bin/sh\nvictim:x:4242:4242::/:/bin/sh\n").expect("a file");
    std::os::unix::fs::symlink("secret", path.join("link")).expect("a link");
}

/// Everything about every entry that an attack could change.
fn look(path: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(about) = path.symlink_metadata() else { continue };
        let contents = if about.is_dir() {
            pending.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
            String::new()
        } else if about.is_symlink() {
            std::fs::read_link(&path).map(|target| target.display().to_string()).unwrap_or_default()
        } else {
            String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned()
        };
        let (mode, owner, changed) = (about.mode(), (about.uid(), about.gid()), (about.ctime(), about.ctime_nsec()));
        found.insert(path, format!("{mode:o} {owner:?} {changed:?} {contents:?}"));
    }
    found
}
