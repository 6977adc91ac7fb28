//! Layers and archives: compressed streams of tar.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use berth_archive::unpack::{ExtractOptions, Limits, Whiteouts, extract, unpack_layer};
use berth_archive::{IdShift, compression, tar::Reader};

/// Most bytes that are read of one input's contents.
const CONTENT_BYTES_MAX: u64 = 1 << 20;

const LIMITS: Limits =
    Limits { entries: 200, path_depth: 32, path_bytes: 1024, total_bytes: 1 << 20, xattr_bytes: 4096 };

/// No panic, no endless loop, memory bounded.
pub fn read(input: &[u8]) {
    let Ok(stream) = compression::decoder(input) else { return };
    let mut reader = Reader::new(stream);
    let mut left = CONTENT_BYTES_MAX;
    while let Ok(Some(_)) = reader.next_entry() {
        let Ok(read) = std::io::copy(&mut (&mut reader).take(left), &mut std::io::sink()) else { return };
        left -= read;
        if left == 0 {
            return;
        }
    }
}

/// As a layer and as an archive for a live tree: a canary beside the root never changes.
pub fn unpack(input: &[u8]) {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (root, canary) = (dir.path().join("root"), dir.path().join("canary"));
    std::fs::create_dir(&root).expect("root");
    std::fs::write(&canary, "alive").expect("canary");
    // A way out, should anything follow links.
    std::os::unix::fs::symlink(dir.path(), root.join("s")).expect("link");
    let before = std::fs::metadata(&canary).expect("canary");
    let open = std::fs::File::open(&root).expect("root");
    let _ = unpack_layer(input, open.as_fd(), &LIMITS, Whiteouts::Overlay, IdShift::default());
    let options = ExtractOptions { limits: LIMITS, ..ExtractOptions::default() };
    let _ = extract(input, open.as_fd(), Path::new("/s"), &options);
    let after = std::fs::metadata(&canary).expect("canary");
    assert_eq!(std::fs::read(&canary).expect("canary"), b"alive");
    assert_eq!((before.ino(), before.nlink(), before.mode()), (after.ino(), after.nlink(), after.mode()));
    assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 2, "something was made outside");
}
