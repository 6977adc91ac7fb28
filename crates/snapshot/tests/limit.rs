//! A container's layer of limited size: the kernel says `ENOSPC`, to it alone, and everything is given back.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;

use berth_snapshot::contract::chain_id;
use berth_snapshot::{Error, LIMIT_BYTES_MIN, Snapshotter, copy::Copy, erofs::Erofs, overlay::Overlay};

const LIMIT: u64 = 8 << 20;

/// The loop devices with a file below `root` behind them.
fn devices(root: &Path) -> usize {
    let behind = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("loop/backing_file")).ok();
    let below = |path: &String| Path::new(path.trim_end()).starts_with(root);
    fs::read_dir("/sys/block").expect("devices").flatten().filter_map(behind).filter(below).count()
}

fn check(store: &dyn Snapshotter, root: &Path) {
    let draft = store.draft_layer(&chain_id(1), None).expect("draft");
    fs::write(draft.dir.join("below"), vec![7; 20 << 20]).expect("write");
    store.commit_layer(draft, 0).expect("commit");
    store.create("c", Some(&chain_id(1))).expect("create");
    let small = store.limit("c", LIMIT_BYTES_MIN - 1);
    assert!(matches!(small, Err(Error::LimitTooSmall { .. })), "{small:?}");
    match store.limit("c", LIMIT) {
        Err(Error::Io { act: "make a loop device of", source, .. }) => {
            return eprintln!("skipped: no loop devices here: {source}");
        }
        other => other.expect("limit"),
    }
    let mount = store.rootfs("c").expect("rootfs").mount(None).expect("mount");
    let inside = |name: &str| format!("/proc/self/fd/{}/{name}", mount.as_raw_fd());
    assert_eq!(fs::metadata(inside("below")).expect("stat").len(), 20 << 20, "the image's files do not count");
    fs::write(inside("fits"), vec![1; 7 << 20]).expect("what fits is written");
    let error = fs::write(inside("too-much"), vec![2; 4 << 20]).expect_err("more than the limit");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
    fs::remove_file(inside("too-much")).expect("remove");
    let used = store.usage("c").expect("usage");
    assert!((7 << 20..8 << 20).contains(&used), "{used} bytes");
    // Asked again while it is in use, it is the same file system.
    let again = store.rootfs("c").expect("rootfs").upper.join("fits");
    assert_eq!(fs::metadata(again).expect("the same").len(), 7 << 20);
    assert_eq!(devices(root), 1, "one device");
    store.remove("c").expect("a mounted one may be removed");
    assert_eq!(fs::read(inside("fits")).expect("it lives on").len(), 7 << 20);
    drop(mount);
    for _ in 0..200 {
        if devices(root) == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the loop device is left");
}

#[test]
fn a_limited_layer_of_overlay_is_full_at_its_limit() {
    let scratch = tempfile::tempdir().expect("tempdir");
    check(&Overlay::open(scratch.path()).expect("open"), scratch.path());
}

#[test]
fn a_limited_layer_of_erofs_is_full_at_its_limit() {
    let scratch = tempfile::tempdir().expect("tempdir");
    check(&Erofs::open(scratch.path(), false).expect("open"), scratch.path());
}

#[test]
fn a_killed_daemons_file_system_is_found_again() {
    let scratch = tempfile::tempdir().expect("tempdir");
    let store = Overlay::open(scratch.path()).expect("open");
    store.create("c", None).expect("create");
    if let Err(error) = store.limit("c", LIMIT) {
        return eprintln!("skipped: {error:?}");
    }
    let rootfs = store.rootfs("c").expect("rootfs");
    fs::write(rootfs.upper.join("kept"), "kept").expect("write");
    let mount = rootfs.mount(None).expect("mount");
    // The next daemon may even be in another mount namespace, where nothing is mounted.
    let volume = rootfs.upper.parent().expect("volume");
    berth_sys::mount::detach(volume).expect("detach");
    let store = Overlay::open(scratch.path()).expect("open");
    let found = store.rootfs("c").expect("rootfs");
    assert_eq!(fs::read_to_string(found.upper.join("kept")).expect("read"), "kept");
    assert_eq!(devices(scratch.path()), 1, "the device that is in use is taken, not a second one");
    drop(mount);
    store.remove("c").expect("remove");
}

#[test]
fn a_copy_has_no_limit() {
    let scratch = tempfile::tempdir().expect("tempdir");
    let store = Copy::open(scratch.path()).expect("open");
    store.create("c", None).expect("create");
    assert!(matches!(store.limit("c", LIMIT), Err(Error::LimitRefused { .. })));
}
