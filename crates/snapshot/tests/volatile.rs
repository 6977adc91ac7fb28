//! A root whose writes need not survive the machine: mounted again and again on the same machine it keeps them.

use berth_snapshot::contract::chain_id;
use berth_snapshot::{Rootfs, Snapshotter as _, overlay::Overlay};

#[test]
fn a_volatile_root_is_mounted_again_with_what_was_written() {
    let scratch = tempfile::tempdir().expect("tempdir");
    let store = Overlay::open(scratch.path()).expect("store");
    let draft = store.draft_layer(&chain_id(1), None).expect("draft");
    store.commit_layer(draft, 0).expect("commit");
    store.create("c", Some(&chain_id(1))).expect("create");
    let rootfs = Rootfs { volatile: true, ..store.rootfs("c").expect("rootfs") };
    match rootfs.mount(None) {
        Ok(mount) => rustix::fs::mkdirat(&mount, "kept", rustix::fs::Mode::RWXU).expect("write"),
        Err(error) => return eprintln!("skipped: no right to mount: {error}"),
    }
    let again = rootfs.mount(None).expect("mount again");
    rustix::fs::statat(&again, "kept", rustix::fs::AtFlags::empty()).expect("what was written");
}
