//! Archives that mean harm: each is refused or made harmless, and nothing outside of the root changes.

use std::{
    fs,
    io::Read,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, symlink},
    },
    path::{Path, PathBuf},
};

use berth_archive::{
    Error, IdShift,
    tar::{Entry, Kind, Writer},
    unpack::{ExtractOptions, Limits, Unpacked, Whiteouts, extract, unpack_layer},
};

/// A root with a neighbour that must not change.
struct Scene {
    _dir: tempfile::TempDir,
    root: PathBuf,
    victim: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (root, victim) = (dir.path().join("root"), dir.path().join("victim"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("secret"), "untouched").unwrap();
        Self { _dir: dir, root, victim }
    }

    fn root_fd(&self) -> OwnedFd {
        fs::File::open(&self.root).unwrap().into()
    }

    fn unpack(&self, archive: &[u8]) -> Result<Unpacked, Error> {
        self.unpack_with(archive, &Limits::default())
    }

    fn unpack_with(&self, archive: &[u8], limits: &Limits) -> Result<Unpacked, Error> {
        let outcome = unpack_layer(archive, self.root_fd().as_fd(), limits, Whiteouts::Overlay, IdShift::default());
        self.assert_untouched();
        outcome
    }

    fn extract(&self, archive: &[u8], dest: &str) -> Result<Unpacked, Error> {
        let outcome = extract(archive, self.root_fd().as_fd(), Path::new(dest), &ExtractOptions::default());
        self.assert_untouched();
        outcome
    }

    fn assert_untouched(&self) {
        assert_eq!(fs::read_to_string(self.victim.join("secret")).unwrap(), "untouched");
        assert_eq!(fs::read_dir(&self.victim).unwrap().count(), 1, "something was made outside");
        assert_eq!(fs::metadata(self.victim.join("secret")).unwrap().nlink(), 1, "a link to the outside was made");
        let around = fs::read_dir(self.root.parent().unwrap()).unwrap().count();
        assert_eq!(around, 2, "something was made beside the root");
    }
}

fn file(path: &str, contents: &str) -> (Entry, Vec<u8>) {
    let mut entry = Entry::new(path, Kind::File);
    entry.size = contents.len() as u64;
    (entry, contents.into())
}

fn link(kind: Kind, path: &str, target: &str) -> (Entry, Vec<u8>) {
    let mut entry = Entry::new(path, kind);
    entry.link = target.into();
    (entry, Vec::new())
}

fn node(kind: Kind, path: &str, device: (u32, u32)) -> (Entry, Vec<u8>) {
    let mut entry = Entry::new(path, kind);
    entry.device = device;
    (entry, Vec::new())
}

fn dir(path: &str) -> (Entry, Vec<u8>) {
    node(Kind::Directory, path, (0, 0))
}

fn archive(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, contents) in entries {
        writer.append(entry, &mut &contents[..]).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn hostile_layers_are_refused() {
    let long_target = "x".repeat(5000);
    let deep = format!("{}x", "d/".repeat(100_000));
    let rather_deep = format!("{}x", "d/".repeat(300));
    type Case = (&'static str, Vec<(Entry, Vec<u8>)>);
    let cases: Vec<Case> = vec![
        ("parent path", vec![file("../victim/secret", "x")]),
        ("parent path inside", vec![file("a/../../victim/secret", "x")]),
        ("absolute parent path", vec![file("/../victim/new", "x")]),
        (
            "NUL in a path",
            vec![file("a\0b/../../x", "x")]
                .into_iter()
                .map(|(mut e, c)| {
                    e.path = [b"a\0b".as_slice(), &b"x".repeat(200)].concat();
                    (e, c)
                })
                .collect(),
        ),
        ("hard link to the outside", vec![link(Kind::HardLink, "a", "../victim/secret")]),
        (
            "hard link through a link",
            vec![link(Kind::Symlink, "s", "../victim"), link(Kind::HardLink, "a", "s/secret")],
        ),
        ("hard link to nothing", vec![link(Kind::HardLink, "a", "missing")]),
        ("hard link to itself", vec![file("a", "x"), link(Kind::HardLink, "a", "./a")]),
        ("hard link to the root", vec![link(Kind::HardLink, "a", "/")]),
        ("hard link to a directory", vec![dir("d"), link(Kind::HardLink, "a", "d")]),
        ("file through a link", vec![link(Kind::Symlink, "s", "../victim"), file("s/new", "x")]),
        ("file through an absolute link", vec![link(Kind::Symlink, "s", "/proc/self/root/tmp"), file("s/new", "x")]),
        ("file below a file", vec![file("a", "x"), file("a/b", "x")]),
        ("link loop", vec![link(Kind::Symlink, "a", "b"), link(Kind::Symlink, "b", "a"), file("a/x", "x")]),
        ("link of 5000 bytes", vec![link(Kind::Symlink, "s", &long_target)]),
        ("100000 directories deep", vec![file(&deep, "x")]),
        ("300 directories deep", vec![file(&rather_deep, "x")]),
        ("component of 300 bytes", vec![file(&"n".repeat(300), "x")]),
        ("root as a file", vec![file(".", "x")]),
        ("root as a link", vec![link(Kind::Symlink, "./", "../victim")]),
        ("whiteout of nothing", vec![file(".wh.", "")]),
        ("whiteout of the directory", vec![file("a/.wh..", "")]),
        ("whiteout of the parent", vec![file("a/.wh...", "")]),
        ("entry below a whiteout", vec![file(".wh.a/b", "x")]),
        ("smuggled overlay whiteout", vec![node(Kind::CharDevice, "a", (0, 0))]),
        ("file below an own whiteout", vec![file(".wh.a", ""), file("a/b", "x")]),
    ];
    for (what, entries) in cases {
        let scene = Scene::new();
        let outcome = scene.unpack(&archive(&entries));
        assert!(outcome.is_err(), "{what}: {outcome:?}");
    }
}

#[test]
fn suspicious_layers_are_made_harmless() {
    let scene = Scene::new();
    let mut smuggler = file("attributes", "x");
    smuggler.0.xattrs = vec![
        (b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec()),
        (b"trusted.overlay.metacopy".to_vec(), b"".to_vec()),
        (b"user.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"security.selinux".to_vec(), b"x".to_vec()),
        (b"user.kept".to_vec(), b"value".to_vec()),
    ];
    let entries = [
        file("/absolute", "inside"),
        file("a/./b/../c", "inside"),
        link(Kind::Symlink, "etc", "/victim"),
        node(Kind::Fifo, "passwd", (0, 0)),
        file("passwd", "twice"),
        dir("was-dir/below"),
        file("was-dir", "now a file"),
        link(Kind::Symlink, "was-link", "../victim/secret"),
        file("was-link", "now a file"),
        link(Kind::Symlink, "was-dir-link", "../victim"),
        dir("was-dir-link"),
        file("was-dir-link/new", "inside"),
        file(".wh..wh.plnk/1.2", "aufs"),
        file(".wh..wh.aufs", "aufs"),
        smuggler,
        node(Kind::BlockDevice, "disk", (8, 1)),
    ];
    scene.unpack(&archive(&entries)).unwrap();
    let read = |name: &str| fs::read_to_string(scene.root.join(name)).unwrap();
    assert_eq!((read("absolute"), read("a/c")), ("inside".into(), "inside".into()));
    assert_eq!((read("passwd"), read("was-dir")), ("twice".into(), "now a file".into()));
    assert_eq!(read("was-link"), "now a file");
    assert!(fs::symlink_metadata(scene.root.join("was-dir-link")).unwrap().is_dir());
    assert!(!scene.root.join(".wh..wh.plnk").exists());
    assert!(fs::metadata(scene.root.join("disk")).unwrap().file_type().is_block_device());
    let path = scene.root.join("attributes");
    let mut names = [0; 1024];
    let length = rustix::fs::listxattr(&path, &mut names).unwrap();
    assert_eq!(&names[..length], b"user.kept\0");
}

#[test]
fn links_resolve_with_the_root_as_slash() {
    let scene = Scene::new();
    let victim = scene.victim.to_str().unwrap();
    let inside = format!("{}/", victim.trim_start_matches('/'));
    let entries = [dir(&inside), link(Kind::Symlink, "s", victim), file("s/new", "inside")];
    scene.unpack(&archive(&entries)).unwrap();
    assert_eq!(fs::read_to_string(scene.root.join(inside).join("new")).unwrap(), "inside");
}

#[test]
fn limits_stop_with_their_numbers() {
    let many: Vec<_> = (0..100).map(|n| file(&format!("f{n}"), "12345")).collect();
    let many = archive(&many);
    let mut attributes = file("x", "");
    attributes.0.xattrs = (0..40).map(|n| (format!("user.{n}").into_bytes(), vec![0; 8 << 10])).collect();
    let cases = [
        (Limits { entries: 50, ..Limits::default() }, many.clone(), "more than 50 entries"),
        (Limits { total_bytes: 400, ..Limits::default() }, many, "more than 400 bytes of files"),
        (Limits::default(), archive(&[attributes]), "bytes of extended attributes"),
        (Limits::default(), sparse_bomb(), "bytes of files"),
    ];
    for (limits, bytes, text) in cases {
        let error = Scene::new().unpack_with(&bytes, &limits).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

/// A GNU sparse file of 4 EiB in two blocks.
fn sparse_bomb() -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("hole").unwrap();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(0);
    header.set_mode(0o644);
    header.as_gnu_mut().unwrap().set_real_size(1 << 62);
    header.set_cksum();
    [header.as_bytes().as_slice(), &[0; 1024]].concat()
}

#[test]
fn oversized_metadata_is_refused_before_it_is_read() {
    for kind in [b'x', b'L', b'K', b'g'] {
        let mut header = tar::Header::new_ustar();
        header.set_path("x").unwrap();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(8 << 30);
        header.set_cksum();
        let error = Scene::new().unpack(header.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Limit { .. }), "{error}");
    }
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::new(b'g'));
    header.set_size(0);
    header.set_cksum();
    let error = Scene::new().unpack(&header.as_bytes().repeat(100)).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
}

#[test]
fn spoiled_streams_are_refused_and_never_panic() {
    let good = archive(&[dir("d"), file("d/f", &"contents".repeat(100)), link(Kind::Symlink, "s", "d")]);
    for length in [1, 100, 511, 513, 1000, 1100] {
        assert!(Scene::new().unpack(&good[..length]).is_err(), "{length} bytes");
    }
    let mut seed = 1u32;
    for _ in 0..600 {
        let mut bytes = good.clone();
        for _ in 0..3 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (seed >> 8) as usize % bytes.len();
            bytes[at] ^= (seed >> 3) as u8;
        }
        let mut reader = berth_archive::tar::Reader::new(&bytes[..]);
        while let Ok(Some(_)) = reader.next_entry() {
            if reader.read_to_end(&mut Vec::new()).is_err() {
                break;
            }
        }
    }
    for garbage in [vec![0xff; 4096], b"not a tar, but some text that is longer than a block".repeat(20)] {
        assert!(Scene::new().unpack(&garbage).is_err());
    }
    assert_eq!(Scene::new().unpack(&[]).unwrap(), Unpacked::default());
}

#[test]
fn a_million_entries_are_the_end() {
    let limits = Limits { entries: 20_000, ..Limits::default() };
    let entry = archive(&[file("same", "")]);
    let one = &entry[..512];
    let stream = std::io::repeat(0).take(0).chain(Endless { block: one.to_vec(), at: 0 });
    let scene = Scene::new();
    let outcome = unpack_layer(stream, scene.root_fd().as_fd(), &limits, Whiteouts::Overlay, IdShift::default());
    assert!(matches!(outcome, Err(Error::Limit { what: "entries", limit: 20_000 })));
}

/// The same block for ever.
struct Endless {
    block: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = self.block[self.at % self.block.len()];
            self.at += 1;
        }
        Ok(buffer.len())
    }
}

#[test]
fn extract_stays_below_a_live_root() {
    let scene = Scene::new();
    symlink("/", scene.root.join("up")).unwrap();
    symlink(&scene.victim, scene.root.join("out")).unwrap();
    symlink("../victim", scene.root.join("relative")).unwrap();
    fs::create_dir(scene.root.join("victim")).unwrap();
    // `relative` leads to the root's own `victim`, `out` to nothing.
    scene.extract(&archive(&[file("new", "x")]), "/relative").unwrap();
    assert!(scene.root.join("victim/new").exists());
    assert!(scene.extract(&archive(&[file("new", "x")]), "/out").is_err());
    scene.extract(&archive(&[file("new", "x")]), "/up/../../up").unwrap();
    assert!(scene.root.join("new").exists());
    assert!(scene.extract(&archive(&[file("../../victim/new", "x")]), "/victim").is_err());
    assert!(scene.extract(&archive(&[file("out/new", "x")]), "/").is_err());
    scene.extract(&archive(&[file("relative/second", "x")]), "/").unwrap();
    assert!(scene.root.join("victim/second").exists());
}

#[test]
fn extract_survives_a_racing_swap() {
    let scene = Scene::new();
    let (real, swapped) = (scene.root.join("d"), scene.root.join("old"));
    fs::create_dir(&real).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let victim = scene.victim.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::rename(&real, &swapped);
                let _ = symlink(&victim, &real);
                let _ = fs::remove_file(&real);
                let _ = fs::rename(&swapped, &real);
            }
        });
        let bytes = archive(&[file("d/planted", "x"), file("d/e/planted", "x"), node(Kind::Fifo, "d/p", (0, 0))]);
        for _ in 0..400 {
            // May fail; must not escape.
            let _ = extract(&bytes[..], scene.root_fd().as_fd(), Path::new("/"), &ExtractOptions::default());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    scene.assert_untouched();
}

#[test]
fn extract_keeps_dockers_flags() {
    let scene = Scene::new();
    fs::create_dir(scene.root.join("dir")).unwrap();
    fs::write(scene.root.join("file"), "old").unwrap();
    let strict = ExtractOptions { no_overwrite_dir_non_dir: true, ..ExtractOptions::default() };
    for (bytes, text) in [
        (archive(&[file("dir", "x")]), "cannot overwrite directory \"dir\" with non-directory \"dir\""),
        (archive(&[dir("file")]), "cannot overwrite non-directory \"file\" with directory \"file/\""),
    ] {
        let error = extract(&bytes[..], scene.root_fd().as_fd(), Path::new("/"), &strict).unwrap_err();
        assert!(error.to_string().starts_with(&text[..text.len() - 2]), "{error}");
    }
    let owned = ExtractOptions { owner: Some((7, 8)), shift: IdShift { uid: 1000, gid: 2000 }, ..strict };
    extract(&archive(&[file("file", "new")])[..], scene.root_fd().as_fd(), Path::new("/"), &owned).unwrap();
    let stat = fs::metadata(scene.root.join("file")).unwrap();
    assert_eq!((stat.uid(), stat.gid()), (1007, 2008));
}
