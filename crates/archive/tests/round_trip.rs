//! What is packed comes back, here and through GNU tar.

use std::{
    fs,
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::Path,
    process::{Command, Stdio},
};

use berth_archive::{
    ChangeKind, IdShift, changes, pack,
    tar::{Entry, Kind, Reader, Writer},
    unpack::{Limits, Whiteouts, unpack_layer},
};

fn open(path: &Path) -> OwnedFd {
    fs::File::open(path).unwrap().into()
}

fn unpack(archive: &[u8], into: &Path) {
    unpack_layer(archive, open(into).as_fd(), &Limits::default(), Whiteouts::Overlay, IdShift::default()).unwrap();
}

fn pack_tree(root: &Path) -> Vec<u8> {
    pack::tree(open(root).as_fd(), Path::new("/"), Vec::new(), &pack::TreeOptions::default()).unwrap()
}

fn names(archive: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(archive);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(String::from_utf8(entry.path).unwrap());
    }
    names
}

/// A tree with everything that a root file system has.
fn build(root: &Path) {
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::write(root.join("usr/bin/tool"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("usr/bin/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(root.join("usr/bin/tool"), root.join("usr/bin/alias")).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    fs::write(root.join(format!("{}-é", "long".repeat(50))), "long name").unwrap();
    std::os::unix::fs::lchown(root.join("bin"), Some(12), Some(3_000_000)).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let device = rustix::fs::makedev(1, 3);
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("null"), kind, rustix::fs::Mode::RUSR, device).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(root.join("usr"), "user.note", b"a\0b", flags).unwrap();
    // CAP_NET_RAW, permitted and effective (capabilities(7), version 2).
    fs::write(root.join("capable"), "x").unwrap();
    std::os::unix::fs::chown(root.join("capable"), Some(5), Some(6)).unwrap();
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    rustix::fs::setxattr(root.join("capable"), "security.capability", &capability, flags).unwrap();
}

#[test]
fn a_tree_comes_back_whole_and_in_the_same_bytes() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    build(from.path());
    let bytes = pack_tree(from.path());
    unpack(&bytes, to.path());
    assert!(!to.path().join("socket").exists());
    assert!(pack_tree(to.path()) == bytes, "the bytes differ");
    let [a, b] = ["usr/bin/tool", "usr/bin/alias"].map(|name| fs::metadata(to.path().join(name)).unwrap());
    assert_eq!((a.ino(), a.mode() & 0o7777), (b.ino(), 0o4755));
    let mut capability = [0; 64];
    assert_eq!(rustix::fs::getxattr(to.path().join("capable"), "security.capability", &mut capability), Ok(20));
    let link = fs::symlink_metadata(to.path().join("bin")).unwrap();
    assert_eq!((link.uid(), link.gid()), (12, 3_000_000));
    let (old, new) = (fs::metadata(from.path().join("usr")).unwrap(), fs::metadata(to.path().join("usr")).unwrap());
    assert_eq!((old.mtime(), old.mtime_nsec()), (new.mtime(), new.mtime_nsec()));
}

#[test]
fn gnu_tar_reads_what_we_write() {
    let from = tempfile::tempdir().unwrap();
    build(from.path());
    let bytes = pack_tree(from.path());
    let mut child = Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner", "--file=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    for line in ["12/3000000", "-rwsr-xr-x", "link to usr/bin/alias", "1,3", "pr--", "bin -> usr/bin"] {
        assert!(listing.contains(line), "{line} is not in\n{listing}");
    }
}

#[test]
fn we_read_what_gnu_tar_writes_sparse_files_too() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let holey = from.path().join("holey");
    let mut file = fs::File::create(&holey).unwrap();
    for offset in [1u64 << 20, 5 << 20, 9 << 20] {
        use std::io::Seek;
        file.seek(std::io::SeekFrom::Start(offset)).unwrap();
        file.write_all(b"island").unwrap();
    }
    file.set_len(20 << 20).unwrap();
    fs::write(from.path().join("plain"), "plain").unwrap();
    for format in ["--format=gnu", "--format=pax", "--sparse-version=0.1", "--sparse-version=0.0"] {
        let mut tar = Command::new("tar");
        tar.args(["--create", "--sparse", "--file=-", "--sort=name"]);
        if format.starts_with("--sparse") {
            tar.arg("--format=pax");
        }
        let output = tar.arg(format).arg("--directory").arg(from.path()).arg(".").output().unwrap();
        assert!(output.stdout.len() < 100_000, "{format}: not sparse");
        unpack(&output.stdout, to.path());
        assert!(fs::read(to.path().join("holey")).unwrap() == fs::read(&holey).unwrap(), "{format}");
        assert!(fs::metadata(to.path().join("holey")).unwrap().blocks() < 1000, "{format}: holes were filled");
        let mut reader = Reader::new(&output.stdout[..]);
        while let Some(entry) = reader.next_entry().unwrap() {
            let mut contents = Vec::new();
            reader.read_to_end(&mut contents).unwrap();
            assert_eq!(contents.len() as u64, entry.size, "{format}");
        }
    }
}

#[test]
fn whiteouts_go_to_overlay_and_back() {
    let (upper, again) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut writer = Writer::new(Vec::new());
    for path in ["a/", "a/.wh..wh..opq", "a/kept", "b/.wh.gone", ".wh.top", "both/", ".wh.both"] {
        let kind = if path.ends_with('/') { Kind::Directory } else { Kind::File };
        writer.append(&Entry::new(path, kind), &mut std::io::empty()).unwrap();
    }
    unpack(&writer.finish().unwrap(), upper.path());
    for path in ["b/gone", "top"] {
        assert_eq!(fs::metadata(upper.path().join(path)).unwrap().rdev(), 0, "{path}");
    }
    let packed = pack::layer(open(upper.path()).as_fd(), Vec::new()).unwrap();
    let wanted = ["a/", "a/.wh..wh..opq", "a/kept", "b/", "b/.wh.gone", "both/", "both/.wh..wh..opq", ".wh.top"];
    assert_eq!(names(&packed), wanted);
    unpack(&packed, again.path());
    assert_eq!(names(&pack::layer(open(again.path()).as_fd(), Vec::new()).unwrap()), wanted);
}

#[test]
fn copies_are_named_and_resolved_as_docker_does() {
    let root = tempfile::tempdir().unwrap();
    build(root.path());
    symlink("/usr", root.path().join("absolute")).unwrap();
    let names = |path: &str, base: &str| {
        let options = pack::TreeOptions { base: Some(base.to_owned()), ..pack::TreeOptions::default() };
        let bytes = pack::tree(open(root.path()).as_fd(), Path::new(path), Vec::new(), &options).unwrap();
        self::names(&bytes)
    };
    assert_eq!(names("/usr", "usr"), ["usr/", "usr/bin/", "usr/bin/alias", "usr/bin/tool"]);
    assert_eq!(names("/absolute", "absolute"), ["absolute"]);
    assert_eq!(names("/absolute/.", "."), ["./", "./bin/", "./bin/alias", "./bin/tool"]);
    assert_eq!(names("/bin/tool", "renamed"), ["renamed"]);
    let (stat, target) = pack::stat_entry(open(root.path()).as_fd(), Path::new("/absolute")).unwrap();
    assert_eq!((stat.st_mode & 0o170_000, target.unwrap()), (0o120_000, b"/usr".to_vec()));
    assert!(pack::stat_entry(open(root.path()).as_fd(), Path::new("/../../../etc/hostname")).is_err());
}

#[test]
fn changes_are_told_against_all_layers() {
    let [upper, top, bottom] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    for path in ["etc/passwd", "etc/hosts", "old/a", "gone", "kept"] {
        let path = bottom.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let whiteout = |path: std::path::PathBuf| {
        let kind = rustix::fs::FileType::CharacterDevice;
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, rustix::fs::Mode::empty(), 0).unwrap();
    };
    whiteout(top.path().join("gone"));
    fs::create_dir_all(upper.path().join("etc")).unwrap();
    fs::create_dir_all(upper.path().join("old")).unwrap();
    fs::write(upper.path().join("etc/passwd"), "y").unwrap();
    fs::write(upper.path().join("gone"), "new").unwrap();
    fs::write(upper.path().join("old/b"), "new").unwrap();
    fs::create_dir_all(bottom.path().join("same/below")).unwrap();
    fs::create_dir_all(upper.path().join("same/below")).unwrap();
    whiteout(upper.path().join("etc/hosts"));
    whiteout(upper.path().join("never"));
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(upper.path().join("old"), "trusted.overlay.opaque", b"y", flags).unwrap();
    let lowers = [open(top.path()), open(bottom.path())];
    let lowers: Vec<_> = lowers.iter().map(AsFd::as_fd).collect();
    let found = changes::diff(open(upper.path()).as_fd(), &lowers).unwrap();
    let found: Vec<_> = found.iter().map(|change| (change.path.to_str().unwrap(), change.kind)).collect();
    use ChangeKind::{Added, Deleted, Modified};
    let wanted = [
        ("/etc", Modified),
        ("/etc/hosts", Deleted),
        ("/etc/passwd", Modified),
        ("/gone", Added),
        ("/old", Modified),
        ("/old/a", Deleted),
        ("/old/b", Added),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn a_directory_is_copied_whole_and_an_absent_one_not_at_all() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    build(&from.path().join("data"));
    fs::set_permissions(from.path().join("data"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink("/data", from.path().join("link")).unwrap();
    fs::write(from.path().join("data/.wh.plain"), "x").unwrap();
    berth_archive::copy::tree(open(from.path()), "/link", to.path()).unwrap();
    assert!(pack_tree(to.path()) == pack_tree(&from.path().join("data")), "the copy differs");
    assert_eq!(fs::metadata(to.path()).unwrap().mode() & 0o7777, 0o1777);
    berth_archive::copy::tree(open(from.path()), "/missing/deeper", to.path()).unwrap();
    berth_archive::copy::tree(open(from.path()), "/data/bin/tool", to.path()).unwrap();
}
