//! Hostile archives beside a canary: whatever they try, in a layer and in a live tree, nothing outside changes, and a
//! bomb stops at the stated size.

use std::{
    fs,
    io::Cursor,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use berth_archive::{
    Error, IdShift, compression,
    tar::{Entry, Kind, Writer},
    unpack::{ExtractOptions, Limits, Whiteouts, extract, unpack_layer},
};

/// Where the canary lies, as the archives name it: `%` stands for its absolute path.
struct Cage {
    dir: tempfile::TempDir,
}

/// All that can be seen of the canary's world.
type Sight = Vec<(PathBuf, u32, u32, u64, u64, i64, Vec<u8>, Vec<u8>)>;

impl Cage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["root", "outside/etc"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("outside/etc/passwd"), "root:x:0:0").unwrap();
        Self { dir }
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    fn look(&self) -> Sight {
        let mut seen = Sight::new();
        let mut pending = vec![self.outside()];
        pending.extend(fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path()));
        pending.retain(|path| !path.ends_with("root"));
        while let Some(path) = pending.pop() {
            let found = fs::symlink_metadata(&path).unwrap();
            let content = if found.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            if found.is_dir() {
                pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            let mut names = vec![0; 4096];
            let length = rustix::fs::llistxattr(&path, &mut names[..]).unwrap();
            names.truncate(length);
            let links = if found.is_dir() { 0 } else { found.nlink() };
            seen.push((path, found.mode(), found.uid(), links, found.ino(), found.mtime(), content, names));
        }
        seen.sort();
        seen
    }

    /// Unpacks it both ways; gives whether the layer was refused.
    fn try_out(&self, what: &str, entries: &[(Entry, Vec<u8>)]) -> bool {
        let before = self.look();
        let bytes = archive(entries, &self.outside());
        let root = || std::os::fd::OwnedFd::from(fs::File::open(self.dir.path().join("root")).unwrap());
        let layer =
            unpack_layer(&bytes[..], root().as_fd(), &Limits::default(), Whiteouts::Overlay, IdShift::default());
        assert_eq!(self.look(), before, "{what}: a layer changed what is outside");
        let _ = extract(&bytes[..], root().as_fd(), Path::new("/"), &ExtractOptions::default());
        assert_eq!(self.look(), before, "{what}: an extraction changed what is outside");
        layer.is_err()
    }
}

/// Writes the entries with `%` in paths and links made the absolute path of the canary.
fn archive(entries: &[(Entry, Vec<u8>)], outside: &Path) -> Vec<u8> {
    let outside = outside.to_str().unwrap();
    let fill = |text: &[u8]| String::from_utf8_lossy(text).replace('%', outside).into_bytes();
    let mut writer = Writer::new(Vec::new());
    for (entry, contents) in entries {
        let entry = Entry { path: fill(&entry.path), link: fill(&entry.link), ..entry.clone() };
        writer.append(&entry, &mut &contents[..]).unwrap();
    }
    writer.finish().unwrap()
}

fn entry(kind: Kind, path: &str, link: &str) -> (Entry, Vec<u8>) {
    let mut entry = Entry::new(path, kind);
    entry.link = link.into();
    (entry, Vec::new())
}

fn file(path: &str) -> (Entry, Vec<u8>) {
    let mut entry = Entry::new(path, Kind::File);
    entry.size = 6;
    (entry, b"planted"[..6].into())
}

fn link(path: &str, to: &str) -> (Entry, Vec<u8>) {
    entry(Kind::Symlink, path, to)
}

fn hard(path: &str, to: &str) -> (Entry, Vec<u8>) {
    entry(Kind::HardLink, path, to)
}

/// An entry of an archive with its bytes.
type Part = (Entry, Vec<u8>);

#[test]
fn nothing_outside_changes() {
    let attribute = |path: &str, name: &str, value: &[u8]| {
        let mut smuggler = entry(Kind::Directory, path, "");
        smuggler.0.xattrs = vec![(name.as_bytes().to_vec(), value.to_vec())];
        smuggler
    };
    // Every one of them through a link that leads outside, absolute and relative.
    for way in ["%", "../outside"] {
        let through = |last: (Entry, Vec<u8>)| vec![link("s", way), last];
        let cases: Vec<(&str, Vec<Part>)> = vec![
            ("file", through(file("s/etc/passwd"))),
            ("FIFO at /etc/passwd", through(entry(Kind::Fifo, "s/etc/passwd", ""))),
            ("directory", through(entry(Kind::Directory, "s/etc/new", ""))),
            ("device", through(entry(Kind::BlockDevice, "s/etc/disk", ""))),
            ("symbolic link", through(link("s/etc/passwd", "x"))),
            ("whiteout", through(file("s/etc/.wh.passwd"))),
            ("opaque mark", through(file("s/.wh..wh..opq"))),
            ("hard link out of it", through(hard("stolen", "s/etc/passwd"))),
            ("hard link into it", vec![file("own"), link("s", way), hard("s/etc/passwd", "own")]),
            ("attributes", through(attribute("s/etc", "user.note", b"x"))),
            ("mode and owner of the link", through(entry(Kind::Directory, "s/", ""))),
            ("a link to the link", vec![link("s", way), link("t", "s"), file("t/etc/passwd")]),
            ("a hard link to the link", vec![link("s", &format!("{way}/etc/passwd")), hard("h", "s"), file("h")]),
            ("a second entry over the link", vec![link("s", &format!("{way}/etc/passwd")), file("s"), file("s")]),
            (
                "a directory that becomes a link",
                vec![entry(Kind::Directory, "s", ""), file("s/etc"), link("s", way), file("s/etc/passwd")],
            ),
            (
                "a link in the middle",
                vec![
                    entry(Kind::Directory, "a/b", ""),
                    link("a/b/s", way),
                    file("a/b/s/../outside/etc/passwd"),
                    file("a/b/s/etc/passwd"),
                ],
            ),
        ];
        for (what, entries) in cases {
            Cage::new().try_out(what, &entries);
        }
    }
    for (what, path) in [
        ("absolute path", "%/etc/passwd"),
        ("parent path", "../outside/etc/passwd"),
        ("parents in the middle", "a/b/../../../outside/etc/passwd"),
        ("whiteout of the parent", "../outside/etc/.wh.passwd"),
        ("whiteout that is a path", ".wh...outside"),
        ("opaque mark above", "../.wh..wh..opq"),
        ("very many parents", &"../".repeat(1300)),
    ] {
        let cage = Cage::new();
        let refused = cage.try_out(what, &[file(path)]);
        assert!(refused || path.starts_with('%') || path.starts_with(".wh"), "{what} is refused");
    }
}

/// A PAX header with these records, before a file entry whose own header says `size` bytes.
fn pax(records: &[(&str, &str)], size: u64, contents: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (1..20).map(|digits| rest + digits).find(|length| rest + length.to_string().len() == *length);
        data.extend(format!("{} {key}={value}\n", length.unwrap()).into_bytes());
    }
    let header = |kind: u8, path: &str, size: u64| {
        let mut header = tar::Header::new_ustar();
        header.set_path(path).unwrap();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let pad = |bytes: &[u8]| [bytes, &vec![0; bytes.len().next_multiple_of(512) - bytes.len()]].concat();
    [header(b'x', "pax", data.len() as u64), pad(&data), header(b'0', "honest", size), pad(contents), vec![0; 1024]]
        .concat()
}

#[test]
fn extended_headers_smuggle_nothing() {
    let huge = u64::MAX.to_string();
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("path", &[("path", "../outside/etc/passwd")]),
        ("sparse name", &[("GNU.sparse.map", "0,6"), ("GNU.sparse.size", "6"), ("GNU.sparse.name", "../outside/x")]),
        ("huge size", &[("size", &huge)]),
        ("negative size", &[("size", "-1")]),
        ("hole before the file", &[("GNU.sparse.map", "18446744073709551615,6"), ("GNU.sparse.size", "6")]),
        ("overlapping pieces", &[("GNU.sparse.map", "0,4,2,2"), ("GNU.sparse.size", "6")]),
        ("odd map", &[("GNU.sparse.map", "0,4,2"), ("GNU.sparse.size", "6")]),
        ("no size", &[("GNU.sparse.map", "0,6")]),
        ("exabytes of hole", &[("GNU.sparse.map", "0,6"), ("GNU.sparse.size", "4611686018427387904")]),
        ("id", &[("uid", "4294967296")]),
        ("time", &[("mtime", "x")]),
        ("a link of two names", &[("path", "a\0b")]),
    ];
    for (what, records) in cases {
        let cage = Cage::new();
        let before = cage.look();
        let root = fs::File::open(cage.dir.path().join("root")).unwrap();
        let bytes = pax(records, 6, b"planted"[..6].as_ref());
        let outcome =
            unpack_layer(&bytes[..], root.as_fd(), &Limits::default(), Whiteouts::Overlay, IdShift::default());
        assert!(outcome.is_err(), "{what}: {outcome:?}");
        assert_eq!(cage.look(), before, "{what}");
    }
    // A size that hides a second header inside of the contents: the contents stay contents.
    let cage = Cage::new();
    let root = fs::File::open(cage.dir.path().join("root")).unwrap();
    let hidden = archive(&[file("hidden")], &cage.outside());
    let bytes = pax(&[("size", &hidden.len().to_string())], 0, &hidden);
    unpack_layer(&bytes[..], root.as_fd(), &Limits::default(), Whiteouts::Overlay, IdShift::default()).unwrap();
    let made: Vec<_> = fs::read_dir(cage.dir.path().join("root")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(made, ["honest"]);
}

#[test]
fn attributes_that_steer_the_host_are_left_out() {
    let capability = |revision: u8, root: u32| {
        let mut value = vec![0, 0, 0, revision, 0xff, 0xff, 0xff, 0xff];
        value.extend([0; 12]);
        value.extend((revision == 3).then_some(root.to_le_bytes()).into_iter().flatten());
        value
    };
    let cage = Cage::new();
    let mut smuggler = file("program");
    smuggler.0.xattrs = vec![
        (b"security.capability".to_vec(), capability(2, 0)),
        (b"security.ima".to_vec(), b"x".to_vec()),
        (b"security.evm".to_vec(), b"x".to_vec()),
        (b"security.apparmor".to_vec(), b"x".to_vec()),
        (b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec()),
        (b"trusted.anything".to_vec(), b"x".to_vec()),
        (b"system.nfs4_acl".to_vec(), b"x".to_vec()),
        (b"user.overlay.whiteout".to_vec(), b"y".to_vec()),
    ];
    assert!(!cage.try_out("attributes", &[smuggler]), "an honest file with foreign attributes is taken");
    let mut names = [0; 1024];
    let length = rustix::fs::listxattr(cage.dir.path().join("root/program"), &mut names).unwrap();
    assert_eq!(&names[..length], b"security.capability\0", "an image's file capabilities are its own");
    // Spoiled ones, and ones that name another namespace's root, are the kernel's to judge: no panic, nothing outside.
    for value in [capability(3, 1000), capability(9, 0), vec![1], vec![0; 5000]] {
        let mut spoiled = file("spoiled");
        spoiled.0.xattrs = vec![(b"security.capability".to_vec(), value)];
        Cage::new().try_out("spoiled capability", &[spoiled]);
    }
}

#[test]
fn ten_gigabytes_in_ten_megabytes_stop_at_the_stated_size() {
    const CHUNK: usize = 16 << 20;
    const CHUNKS: u64 = 640;
    let zeros = vec![0; CHUNK];
    let member = {
        let mut encoder = compression::gzip_encoder(Vec::new(), 9);
        std::io::Write::write_all(&mut encoder, &zeros).unwrap();
        encoder.finish().unwrap()
    };
    let mut bomb = tar::Header::new_gnu();
    bomb.set_path("bomb").unwrap();
    bomb.set_size(CHUNK as u64 * CHUNKS);
    bomb.set_mode(0o644);
    bomb.set_cksum();
    let mut head = compression::gzip_encoder(Vec::new(), 1);
    std::io::Write::write_all(&mut head, bomb.as_bytes()).unwrap();
    let bytes = [head.finish().unwrap(), member.repeat(CHUNKS as usize)].concat();
    assert!(bytes.len() < 12 << 20, "{} bytes", bytes.len());
    let cage = Cage::new();
    let root = fs::File::open(cage.dir.path().join("root")).unwrap();
    let decoder = compression::decoder(Cursor::new(bytes)).unwrap();
    let outcome = unpack_layer(decoder, root.as_fd(), &Limits::default(), Whiteouts::Overlay, IdShift::default());
    assert!(
        matches!(outcome, Err(Error::Limit { limit: compression::EXPANSION_FREE_BYTES, .. })),
        "the bomb is named: {outcome:?}"
    );
    let written = fs::metadata(cage.dir.path().join("root/bomb")).unwrap().len();
    assert!(written <= compression::EXPANSION_FREE_BYTES, "{written} bytes were written");
}
