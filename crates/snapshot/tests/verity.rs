//! Layers as images that are sealed with fs-verity: never written again where the file system can do that, and where it
//! cannot, refused with that reason instead of being kept unsealed.

use std::fs::{self, OpenOptions};

use berth_snapshot::contract::chain_id;
use berth_snapshot::{Error, Snapshotter, erofs::Erofs};

#[test]
fn a_layer_is_sealed_or_not_kept() {
    let scratch = tempfile::tempdir().expect("tempdir");
    let store = Erofs::open(scratch.path(), true).expect("open");
    let draft = store.draft_layer(&chain_id(1), None).expect("draft");
    fs::write(draft.dir.join("file"), "text").expect("write");
    if let Err(error) = store.commit_layer(draft, 4) {
        assert!(error.to_string().contains("seal (fs-verity)"), "{error}");
        assert!(store.layers().expect("layers").is_empty(), "nothing is kept unsealed");
        return eprintln!("skipped: no fs-verity here: {error:?}");
    }
    let home = scratch.path().join("layers").join(chain_id(1).trim_start_matches("sha256:"));
    let opened = OpenOptions::new().write(true).open(home.join("image"));
    assert_eq!(opened.expect_err("sealed").kind(), std::io::ErrorKind::PermissionDenied);
    let dir = store.layer_dir(&chain_id(1)).expect("mounted");
    assert_eq!(fs::read(dir.join("file")).expect("read"), b"text");
    store.remove_layer(&chain_id(1)).expect("remove");

    // Another image in the place of the sealed one is noticed before it is mounted.
    let draft = store.draft_layer(&chain_id(2), None).expect("draft");
    store.commit_layer(draft, 0).expect("commit");
    let home = scratch.path().join("layers").join(chain_id(2).trim_start_matches("sha256:"));
    fs::copy(home.join("image"), home.join("other")).expect("copy");
    fs::rename(home.join("other"), home.join("image")).expect("rename");
    let refused = store.layer_dir(&chain_id(2));
    assert!(matches!(refused, Err(Error::Unsealed { .. })), "{refused:?}");
}
