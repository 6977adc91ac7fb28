//! Images against two judges: the kernel, which mounts them, and `fsck.erofs`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

/// All that two trees must have in common, by path.
type Seen = BTreeMap<PathBuf, (u32, u32, u32, u64, u64, (i64, i64), Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>)>;

fn look(root: &Path) -> Seen {
    let mut seen = Seen::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let full = if path.as_os_str().is_empty() { root.join(".") } else { root.join(&path) };
        let found = fs::symlink_metadata(&full).expect("stat");
        let content = if found.is_dir() {
            for entry in fs::read_dir(&full).expect("list") {
                pending.push(path.join(entry.expect("entry").file_name()));
            }
            Vec::new()
        } else if found.is_symlink() {
            fs::read_link(&full).expect("link").into_os_string().into_vec()
        } else if found.is_file() {
            fs::read(&full).expect("read")
        } else {
            Vec::new()
        };
        let size = if found.is_dir() { 0 } else { found.size() };
        let times = (found.mtime(), found.mtime_nsec());
        let seen_here =
            (found.mode(), found.uid(), found.gid(), found.rdev(), size + (found.nlink() << 48), times, content);
        let (mode, uid, gid, device, size, times, content) = seen_here;
        seen.insert(path, (mode, uid, gid, device, size, times, content, xattrs(&full)));
    }
    seen
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).expect("attributes");
    let mut value = vec![0; 65536];
    let names =
        names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty() && *name != b"security.selinux");
    names
        .map(|name| {
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("attribute");
            (name.to_vec(), value[..length].to_vec())
        })
        .collect()
}

fn set(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).expect("set an attribute");
}

fn node(path: &Path, kind: FileType, device: (u32, u32)) {
    let device = rustix::fs::makedev(device.0, device.1);
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), device).expect("make a node");
}

/// A tree with one of everything.
fn tree(root: &Path) {
    for (name, bytes) in
        [("empty", 0), ("tail", 100), ("block", 4096), ("both", 9000), ("almost", 4095), ("big", 3_000_001)]
    {
        let content: Vec<u8> = (0..bytes as u32).map(|byte| (byte % 251) as u8).collect();
        fs::write(root.join(name), content).expect("write");
    }
    let sparse = File::create(root.join("sparse")).expect("create");
    sparse.set_len(20 << 20).expect("length");
    std::os::unix::fs::FileExt::write_at(&sparse, b"in the middle", 7 << 20).expect("write");
    File::create(root.join("hollow")).expect("create").set_len(1 << 20).expect("length");
    fs::create_dir_all(root.join("a/b/c/d")).expect("mkdir");
    fs::write(root.join("a/b/c/d/!first"), "sorts before the dots").expect("write");
    fs::create_dir(root.join("many")).expect("mkdir");
    for number in 0..3000 {
        fs::write(root.join(format!("many/file-with-a-name-of-some-length-{number}")), number.to_string())
            .expect("write");
    }
    fs::create_dir(root.join("odd")).expect("mkdir");
    fs::write(root.join("odd").join(OsStr::from_bytes(&[0xff, b' ', 1])), "no UTF-8").expect("write");
    fs::write(root.join("odd").join("n".repeat(255)), "a long name").expect("write");
    fs::hard_link(root.join("both"), root.join("a/again")).expect("link");
    fs::hard_link(root.join("both"), root.join("zz")).expect("link");
    symlink("tail", root.join("link")).expect("symlink");
    symlink("x".repeat(4000), root.join("long-link")).expect("symlink");
    symlink("x".repeat(4090), root.join("longest-link")).expect("symlink");
    node(&root.join("pipe"), FileType::Fifo, (0, 0));
    node(&root.join("socket"), FileType::Socket, (0, 0));
    node(&root.join("whiteout"), FileType::CharacterDevice, (0, 0));
    node(&root.join("char"), FileType::CharacterDevice, (4095, 1_000_000));
    node(&root.join("disk"), FileType::BlockDevice, (8, 255));
    std::os::unix::fs::lchown(root.join("link"), Some(7), Some(4_000_000_000)).expect("chown");
    std::os::unix::fs::chown(root.join("tail"), Some(3_000_000_000), Some(1)).expect("chown");
    fs::set_permissions(root.join("tail"), fs::Permissions::from_mode(0o6711)).expect("chmod");
    fs::set_permissions(root, fs::Permissions::from_mode(0o1770)).expect("chmod");
    set(&root.join("a"), "trusted.overlay.opaque", b"y");
    set(&root.join("tail"), "user.note", b"kept");
    set(&root.join("both"), "user.large", &vec![b'v'; 3000]);
    set(&root.join("big"), "user.empty", b"");
    set(&root.join("link"), "trusted.of-a-link", b"kept");
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set(&root.join("block"), "security.capability", &capability);
    // One entry for the owner, user 7, the group, the mask and others.
    let acl = [(1u16, 6u16, u32::MAX), (2, 4, 7), (4, 4, u32::MAX), (16, 6, u32::MAX), (32, 0, u32::MAX)];
    let entries = acl
        .iter()
        .flat_map(|(tag, bits, id)| [&tag.to_le_bytes()[..], &bits.to_le_bytes()[..], &id.to_le_bytes()[..]].concat());
    set(
        &root.join("almost"),
        "system.posix_acl_access",
        &2u32.to_le_bytes().into_iter().chain(entries).collect::<Vec<_>>(),
    );
    for (name, seconds) in [("tail", -5), ("link", 1), ("a/b", 6_000_000_000), ("char", 0)] {
        let time = Timespec { tv_sec: seconds, tv_nsec: 123_456_789 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, root.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).expect("times");
    }
}

fn open(path: &Path) -> OwnedFd {
    File::open(path).expect("open").into()
}

fn image(root: &Path, at: &Path) -> berth_erofs::Written {
    let mut out = File::create(at).expect("create");
    let written = berth_erofs::write(&mut out, open(root).as_fd()).expect("write the image");
    assert_eq!(out.metadata().expect("stat").len(), written.bytes);
    written
}

/// The mount of an image; `None` where the kernel does not mount from files.
fn mount(at: &Path) -> Option<OwnedFd> {
    let new = berth_sys::mount::NewFilesystem::open("erofs").ok()?;
    new.text("source", at).expect("source");
    match new.mount(berth_sys::mount::attr::READ_ONLY) {
        Ok(mount) => Some(mount),
        Err(rustix::io::Errno::NOTBLK | rustix::io::Errno::PERM) => None,
        Err(errno) => panic!("the kernel refused the image: {errno}: {}", new.messages()),
    }
}

fn through(mount: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", mount.as_raw_fd()).into()
}

fn fsck(at: &Path) {
    match Command::new("fsck.erofs").arg(at).output() {
        Ok(said) => assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr)),
        Err(error) => eprintln!("skipped: fsck.erofs: {error}"),
    }
}

#[test]
fn the_kernel_shows_the_same_tree() {
    let scratch = tempfile::tempdir().expect("tempdir");
    let (root, at) = (scratch.path().join("root"), scratch.path().join("image"));
    fs::create_dir(&root).expect("mkdir");
    tree(&root);
    let written = image(&root, &at);
    let seen = look(&root);
    assert_eq!(written.inodes, seen.len() as u64 - 2, "two further names of one file");
    fsck(&at);
    let Some(mount) = mount(&at) else { return eprintln!("skipped: the kernel mounts no EROFS image from a file") };
    let shown = look(&through(&mount));
    for (path, there) in &seen {
        assert_eq!(shown.get(path), Some(there), "{}", path.display());
    }
    assert_eq!(shown.len(), seen.len(), "nothing more is in the image");
    let used = fs::metadata(&at).expect("stat").blocks() * 512;
    assert!(used < written.bytes - (20 << 20), "holes stay holes: {used} of {}", written.bytes);
}

#[test]
fn equal_trees_give_equal_bytes() {
    let scratch = tempfile::tempdir().expect("tempdir");
    let path = |name: &str| scratch.path().join(name);
    for name in ["one", "two"] {
        fs::create_dir(path(name)).expect("mkdir");
        // Names come from the directory in another order.
        let mut names: Vec<u32> = (0..500).collect();
        if name == "two" {
            names.reverse();
        }
        for number in names {
            let file = path(name).join(number.to_string());
            fs::write(&file, vec![number as u8; 10 * number as usize]).expect("write");
            let time = Timespec { tv_sec: 1, tv_nsec: 0 };
            let times = Timestamps { last_access: time, last_modification: time };
            rustix::fs::utimensat(CWD, &file, &times, AtFlags::empty()).expect("times");
            rustix::fs::utimensat(CWD, path(name), &times, AtFlags::empty()).expect("times");
        }
        image(&path(name), &path(&format!("{name}.image")));
    }
    assert!(fs::read(path("one.image")).expect("read") == fs::read(path("two.image")).expect("read"));
}

#[test]
fn merged_layers_look_as_overlay_shows_them() {
    let scratch = tempfile::tempdir().expect("tempdir");
    let layers: Vec<PathBuf> = (0..3).map(|number| scratch.path().join(number.to_string())).collect();
    for (number, layer) in layers.iter().enumerate() {
        fs::create_dir_all(layer.join("shared/deep")).expect("mkdir");
        fs::write(layer.join(format!("shared/deep/{number}")), number.to_string()).expect("write");
        fs::write(layer.join("same"), number.to_string()).expect("write");
        fs::set_permissions(layer.join("shared"), fs::Permissions::from_mode(0o700 + number as u32)).expect("chmod");
    }
    for name in ["gone", "gone-dir/below", "becomes-file/below", "opaque/hidden", "opaque/sub/hidden", "back/old"] {
        fs::create_dir_all(layers[0].join(name).parent().expect("parent")).expect("mkdir");
        fs::write(layers[0].join(name), name).expect("write");
    }
    fs::write(layers[0].join("becomes-dir"), "file").expect("write");
    fs::hard_link(layers[0].join("gone"), layers[0].join("kept")).expect("link");
    for name in ["gone", "gone-dir", "back", "never-was"] {
        node(&layers[1].join(name), FileType::CharacterDevice, (0, 0));
    }
    fs::write(layers[1].join("becomes-file"), "file").expect("write");
    fs::create_dir(layers[1].join("becomes-dir")).expect("mkdir");
    fs::write(layers[1].join("becomes-dir/below"), "below").expect("write");
    fs::create_dir_all(layers[1].join("opaque/sub")).expect("mkdir");
    fs::write(layers[1].join("opaque/shown"), "shown").expect("write");
    set(&layers[1].join("opaque"), "trusted.overlay.opaque", b"y");
    fs::create_dir(layers[2].join("back")).expect("mkdir");
    fs::write(layers[2].join("back/new"), "new").expect("write");
    let at = scratch.path().join("image");
    let open: Vec<OwnedFd> = layers.iter().map(|layer| open(layer)).collect();
    let borrowed: Vec<_> = open.iter().map(AsFd::as_fd).collect();
    berth_erofs::write_merged(&mut File::create(&at).expect("create"), &borrowed).expect("write");
    fsck(&at);
    let Some(mount) = mount(&at) else { return eprintln!("skipped: the kernel mounts no EROFS image from a file") };
    let shown = look(&through(&mount));
    let overlay = berth_sys::mount::NewFilesystem::open("overlay").expect("overlay");
    for layer in open.iter().rev() {
        overlay.descriptor("lowerdir+", layer.as_fd()).expect("layer");
    }
    let overlay = overlay.mount(berth_sys::mount::attr::READ_ONLY).expect("mount");
    let expected = look(&through(&overlay));
    // Directories of an overlay count one link; files that several layers name keep theirs.
    let plain = |seen: Seen| -> Vec<_> {
        seen.into_iter().map(|(path, it)| (path, it.0, it.1, it.2, it.4 & 0xffff_ffff, it.5, it.6, it.7)).collect()
    };
    assert_eq!(plain(shown), plain(expected));
}

#[test]
fn a_path_that_is_too_long_is_refused() {
    let scratch = tempfile::tempdir().expect("tempdir");
    let mut directory = open(scratch.path());
    let name = "d".repeat(250);
    for _ in 0..17 {
        rustix::fs::mkdirat(&directory, &name, Mode::RWXU).expect("mkdir");
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::RDONLY;
        directory = rustix::fs::openat(&directory, &name, flags, Mode::empty()).expect("open");
    }
    let refused = berth_erofs::write(&mut tempfile::tempfile().expect("file"), open(scratch.path()).as_fd());
    assert!(matches!(refused, Err(berth_erofs::Error::Limit { limit: 4095, .. })), "{refused:?}");
}
