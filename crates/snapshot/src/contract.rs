//! What every [`Snapshotter`] must do, as code that its tests run.
//!
//! Each function panics with the clause that was broken. [`run`] runs them all against fresh stores.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::{Error, Snapshotter};

/// A chain id for tests.
pub fn chain_id(number: u32) -> String {
    format!("sha256:{number:064x}")
}

/// Runs every clause; `open` opens a store at a directory that is empty at first.
pub fn run(open: &dyn Fn(&Path) -> Box<dyn Snapshotter>, scratch: &Path) {
    type Clause = fn(&dyn Fn(&Path) -> Box<dyn Snapshotter>, &Path);
    let clauses: [(&str, Clause); 6] = [
        ("layers", layers_appear_whole_and_go_when_free),
        ("names", bad_names_are_refused),
        ("snapshots", snapshots_have_keys_and_sizes),
        ("reopen", what_was_committed_survives_and_drafts_do_not),
        ("race", the_second_commit_of_a_layer_succeeds),
        ("merge", layers_are_merged_top_first),
    ];
    for (name, clause) in clauses {
        let root = scratch.join(name);
        fs::create_dir(&root).expect("scratch directory");
        clause(open, &root);
    }
}

/// Commits a layer that `fill` writes.
fn commit(store: &dyn Snapshotter, number: u32, parent: Option<u32>, fill: impl FnOnce(&Path)) {
    let parent = parent.map(chain_id);
    let draft = store.draft_layer(&chain_id(number), parent.as_deref()).expect("draft");
    fill(&draft.dir);
    store.commit_layer(draft, u64::from(number)).expect("commit");
}

fn layers_appear_whole_and_go_when_free(open: &dyn Fn(&Path) -> Box<dyn Snapshotter>, root: &Path) {
    let store = open(root);
    let upper = store.draft_layer(&chain_id(2), Some(&chain_id(1))).expect("a draft does not need its parent");
    assert!(store.layers().expect("layers").is_empty(), "a draft is no layer");
    commit(&*store, 1, None, |_| ());
    store.commit_layer(upper, 2).expect("commit");
    let found: Vec<_> =
        store.layers().expect("layers").into_iter().map(|layer| (layer.chain_id, layer.parent)).collect();
    assert_eq!(found, [(chain_id(1), None), (chain_id(2), Some(chain_id(1)))]);
    assert_eq!(store.layer_size(&chain_id(2)).expect("size"), 2, "the size stated at commit");
    assert!(matches!(store.remove_layer(&chain_id(1)), Err(Error::LayerInUse { .. })), "a layer stands on it");
    store.create("c", Some(&chain_id(2))).expect("create");
    assert!(matches!(store.remove_layer(&chain_id(2)), Err(Error::LayerInUse { .. })), "a snapshot stands on it");
    store.remove("c").expect("remove");
    store.remove_layer(&chain_id(2)).expect("free");
    store.remove_layer(&chain_id(1)).expect("free");
    assert!(matches!(store.remove_layer(&chain_id(1)), Err(Error::LayerMissing { .. })), "gone");
    assert!(matches!(store.layer_size(&chain_id(1)), Err(Error::LayerMissing { .. })), "gone");
    let orphan = store.draft_layer(&chain_id(4), Some(&chain_id(3))).expect("draft");
    assert!(matches!(store.commit_layer(orphan, 0), Err(Error::LayerMissing { .. })), "no parent");
}

fn bad_names_are_refused(open: &dyn Fn(&Path) -> Box<dyn Snapshotter>, root: &Path) {
    let store = open(root);
    for key in ["", ".", "..", "a/b", "../x", ".hidden", "nul\0"] {
        assert!(matches!(store.create(key, None), Err(Error::InvalidKey { .. })), "key {key:?}");
        assert!(matches!(store.remove(key), Err(Error::InvalidKey { .. })), "key {key:?}");
    }
    for id in ["", "sha256:", "sha256:zz", "../../etc", "md5:00000000000000000000000000000000"] {
        assert!(matches!(store.draft_layer(id, None), Err(Error::InvalidChainId { .. })), "chain id {id:?}");
    }
    assert!(matches!(store.create("c", Some(&chain_id(9))), Err(Error::LayerMissing { .. })));
    assert!(store.snapshots().expect("snapshots").is_empty(), "nothing half-created");
}

fn snapshots_have_keys_and_sizes(open: &dyn Fn(&Path) -> Box<dyn Snapshotter>, root: &Path) {
    let store = open(root);
    assert!(matches!(store.rootfs("a"), Err(Error::SnapshotMissing { .. })));
    store.create("b", None).expect("create");
    store.create("a", None).expect("create");
    assert!(matches!(store.create("a", None), Err(Error::SnapshotExists { .. })));
    assert_eq!(store.snapshots().expect("snapshots"), ["a", "b"]);
    let before = store.usage("a").expect("usage");
    let upper = store.rootfs("a").expect("rootfs").upper;
    fs::write(upper.join("file"), [0u8; 1000]).expect("write");
    fs::hard_link(upper.join("file"), upper.join("again")).expect("link");
    assert_eq!(store.usage("a").expect("usage") - before, 1000, "hard links count once");
    store.remove("a").expect("remove");
    assert!(matches!(store.remove("a"), Err(Error::SnapshotMissing { .. })));
    assert_eq!(store.snapshots().expect("snapshots"), ["b"]);
}

fn what_was_committed_survives_and_drafts_do_not(open: &dyn Fn(&Path) -> Box<dyn Snapshotter>, root: &Path) {
    let store = open(root);
    commit(&*store, 1, None, |dir| fs::write(dir.join("kept"), "kept").expect("write"));
    store.create("c", Some(&chain_id(1))).expect("create");
    let draft = store.draft_layer(&chain_id(2), None).expect("draft");
    let forgotten = draft.dir.clone();
    std::mem::forget(draft);
    drop(store);
    let store = open(root);
    assert_eq!(store.layers().expect("layers").len(), 1);
    assert_eq!(store.snapshots().expect("snapshots"), ["c"]);
    assert!(store.rootfs("c").is_ok());
    assert!(!forgotten.exists(), "drafts are swept");
    assert!(matches!(store.remove_layer(&chain_id(1)), Err(Error::LayerInUse { .. })), "use is remembered");
}

fn the_second_commit_of_a_layer_succeeds(open: &dyn Fn(&Path) -> Box<dyn Snapshotter>, root: &Path) {
    let store = open(root);
    let first = store.draft_layer(&chain_id(1), None).expect("draft");
    let second = store.draft_layer(&chain_id(1), None).expect("draft");
    store.commit_layer(first, 1).expect("first");
    store.commit_layer(second, 1).expect("second");
    assert_eq!(store.layers().expect("layers").len(), 1);
}

fn layers_are_merged_top_first(open: &dyn Fn(&Path) -> Box<dyn Snapshotter>, root: &Path) {
    let store = open(root);
    commit(&*store, 1, None, |dir| {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).expect("mode");
        fs::write(dir.join("both"), "lower").expect("write");
        fs::write(dir.join("gone"), "lower").expect("write");
        fs::create_dir(dir.join("opaque")).expect("mkdir");
        fs::write(dir.join("opaque/hidden"), "lower").expect("write");
    });
    commit(&*store, 2, Some(1), |dir| {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).expect("mode");
        fs::write(dir.join("both"), "upper").expect("write");
        let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::from_raw_mode(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, dir.join("gone"), kind, mode, 0).expect("whiteout");
        fs::create_dir(dir.join("opaque")).expect("mkdir");
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(dir.join("opaque"), "trusted.overlay.opaque", b"y", flags).expect("opaque");
    });
    store.create("c", Some(&chain_id(2))).expect("create");
    let rootfs = store.rootfs("c").expect("rootfs");
    let mount = rootfs.mount(None).expect("mount");
    let read = |name: &str| {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        let file = rustix::fs::openat(mount.as_fd(), name, flags, rustix::fs::Mode::empty())?;
        std::io::read_to_string(fs::File::from(file))
    };
    assert_eq!(read("both").expect("both"), "upper");
    assert!(read("gone").is_err(), "a whiteout removes");
    assert!(read("opaque/hidden").is_err(), "an opaque directory hides");
    assert_eq!(rustix::fs::fstat(&mount).expect("stat").st_mode & 0o7777, 0o711, "the image's own root mode");
    for point in ["proc", "dev", "sys", "etc/hosts"] {
        assert!(rustix::fs::statat(&mount, point, rustix::fs::AtFlags::empty()).is_ok(), "{point} is there");
    }
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::openat(&mount, "new", flags, rustix::fs::Mode::from_raw_mode(0o644)).expect("writable");
    assert!(rootfs.upper.join("new").exists(), "writes go to the upper directory");
}
