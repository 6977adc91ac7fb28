//! Root file systems seen through a user namespace: ids on disk stay the container's own.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use berth_snapshot::contract::chain_id;
use berth_snapshot::{Rootfs, Snapshotter, copy::Copy, overlay::Overlay};
use berth_sys::clone::{Clone3, Side, clone3};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};

const BASE: u32 = 1_000_000;

/// A user namespace in which ids 0 to 65535 are the host's from [`BASE`] on.
fn user_namespace() -> Option<OwnedFd> {
    let request = Clone3 { flags: berth_sys::namespace::bit::USER, ..Clone3::default() };
    // SAFETY: the child only sleeps until it is killed.
    let (pid, pidfd) = match unsafe { clone3(&request) }.ok()? {
        Side::Child => loop {
            std::thread::park();
        },
        Side::Parent { pid, pidfd } => (pid, pidfd),
    };
    let map = format!("0 {BASE} 65536");
    fs::write(format!("/proc/{pid}/uid_map"), &map).expect("uid_map");
    fs::write(format!("/proc/{pid}/gid_map"), &map).expect("gid_map");
    let namespace = fs::File::open(format!("/proc/{pid}/ns/user")).expect("namespace");
    berth_sys::pidfd::send_signal(pidfd.as_fd(), 9).expect("kill");
    berth_sys::pidfd::wait(pidfd.as_fd()).expect("wait");
    Some(namespace.into())
}

fn check(rootfs: &Rootfs, namespace: &OwnedFd) {
    let mount = rootfs.mount(Some(namespace.as_fd())).expect("mount");
    let owner = |name: &str| rustix::fs::statat(&mount, name, AtFlags::SYMLINK_NOFOLLOW).expect("stat").st_uid;
    assert_eq!((owner("."), owner("by-33")), (BASE, BASE + 33), "ids are shifted");

    rustix::fs::mkdirat(&mount, "made", Mode::from_raw_mode(0o755)).expect_err("id 0 of the host is nobody here");
    let root = berth_sys::process::FilesystemIds::take(BASE, BASE).expect("ids");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    rustix::fs::openat(&mount, "made", flags, Mode::from_raw_mode(0o644)).expect("create");
    let (uid, gid) = (Some(Uid::from_raw(BASE + 7)), Some(Gid::from_raw(BASE + 7)));
    rustix::fs::chownat(&mount, "by-33", uid, gid, AtFlags::empty()).expect("copy up and change the owner");
    rustix::fs::unlinkat(&mount, "removed", AtFlags::empty()).expect("whiteout");
    drop(root);

    let on_disk = |name: &str| fs::metadata(rootfs.upper.join(name)).expect("on disk").uid();
    assert_eq!((on_disk("made"), on_disk("by-33")), (0, 7), "on disk they are the container's own");
}

fn prepare(store: &dyn Snapshotter) -> Rootfs {
    let draft = store.draft_layer(&chain_id(1), None).expect("draft");
    for name in ["by-33", "removed"] {
        fs::write(draft.dir.join(name), name).expect("write");
        std::os::unix::fs::chown(draft.dir.join(name), Some(33), Some(33)).expect("chown");
    }
    store.commit_layer(draft, 0).expect("commit");
    store.create("c", Some(&chain_id(1))).expect("create");
    store.rootfs("c").expect("rootfs")
}

#[test]
fn ids_on_disk_are_the_containers() {
    let Some(namespace) = user_namespace() else {
        eprintln!("skipped: no right to make user namespaces");
        return;
    };
    for name in ["overlay", "copy"] {
        let scratch = tempfile::tempdir().expect("tempdir");
        let rootfs = match name {
            "overlay" => prepare(&Overlay::open(scratch.path()).expect("open")),
            _ => prepare(&Copy::open(scratch.path()).expect("open")),
        };
        check(&rootfs, &namespace);
    }
}

#[test]
fn layers_on_another_mount_are_found() {
    let Some(namespace) = user_namespace() else {
        eprintln!("skipped: no right to make user namespaces");
        return;
    };
    let (here, there) = (tempfile::tempdir().expect("tempdir"), tempfile::tempdir_in("/dev/shm"));
    let Ok(there) = there else {
        eprintln!("skipped: no second file system");
        return;
    };
    let mut rootfs = prepare(&Overlay::open(here.path()).expect("open"));
    let distant = prepare(&Overlay::open(there.path()).expect("open"));
    rootfs.lower.splice(0..1, distant.lower.into_iter().take(1));
    check(&rootfs, &namespace);
}
