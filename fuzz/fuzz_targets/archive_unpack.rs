//! Any bytes as a layer and as an archive for a live tree: a canary beside the root never changes.
#![no_main]

use std::{fs, os::fd::AsFd, os::unix::fs::MetadataExt, path::Path};

use berth_archive::{
    IdShift,
    unpack::{ExtractOptions, Limits, Whiteouts, extract, unpack_layer},
};

const LIMITS: Limits =
    Limits { entries: 200, path_depth: 32, path_bytes: 1024, total_bytes: 1 << 20, xattr_bytes: 4096 };

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (root, canary) = (dir.path().join("root"), dir.path().join("canary"));
    fs::create_dir(&root).expect("root");
    fs::write(&canary, "alive").expect("canary");
    // A way out, should anything follow links.
    std::os::unix::fs::symlink(dir.path(), root.join("s")).expect("link");
    let before = fs::metadata(&canary).expect("canary");
    let open = fs::File::open(&root).expect("root");
    let _ = unpack_layer(input, open.as_fd(), &LIMITS, Whiteouts::Overlay, IdShift::default());
    let options = ExtractOptions { limits: LIMITS, ..ExtractOptions::default() };
    let _ = extract(input, open.as_fd(), Path::new("/s"), &options);
    let after = fs::metadata(&canary).expect("canary");
    assert_eq!(fs::read(&canary).expect("canary"), b"alive");
    assert_eq!((before.ino(), before.nlink(), before.mode()), (after.ino(), after.nlink(), after.mode()));
    assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 2, "something was made outside");
});
