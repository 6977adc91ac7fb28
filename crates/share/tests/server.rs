//! The server as a guest's kernel meets it, and as a hostile one would.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use berth_share::{
    abi::{OUT_HEADER, ROOT, opcode},
    server::Server,
};
use rustix::io::Errno;

const ROOM: usize = 1 << 20;

/// A guest with the numbers that it was given.
struct Guest(Server);

impl Guest {
    fn new(directory: &Path) -> Self {
        let mut guest = Self(Server::new(directory).expect("a directory"));
        let init = [7_u32, 31, 0, u32::MAX].map(u32::to_le_bytes).concat();
        guest.ask(opcode::INIT, ROOT, &init).expect("init");
        guest
    }

    fn ask(&mut self, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, Errno> {
        let answer = self.0.answer(&request(opcode, node, body), ROOM).expect("an answer");
        let error = i32::from_le_bytes(answer[4..8].try_into().expect("four bytes"));
        assert_eq!(answer.len(), u32::from_le_bytes(answer[..4].try_into().expect("four bytes")) as usize);
        if error == 0 { Ok(answer[OUT_HEADER..].to_vec()) } else { Err(Errno::from_raw_os_error(-error)) }
    }

    fn look_up(&mut self, parent: u64, name: &str) -> Result<u64, Errno> {
        self.ask(opcode::LOOKUP, parent, format!("{name}\0").as_bytes()).map(|answer| number(&answer, 0))
    }

    fn open(&mut self, node: u64, flags: u32) -> Result<u64, Errno> {
        let body = [flags, 0].map(u32::to_le_bytes).concat();
        self.ask(opcode::OPEN, node, &body).map(|answer| number(&answer, 0))
    }

    fn read(&mut self, handle: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let body = [handle.to_le_bytes(), 0_u64.to_le_bytes(), u64::from(size).to_le_bytes(), [0; 8], [0; 8]].concat();
        self.ask(opcode::READ, ROOT, &body)
    }
}

fn request(opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = ((40 + body.len()) as u32).to_le_bytes().to_vec();
    bytes.extend(opcode.to_le_bytes());
    bytes.extend(7_u64.to_le_bytes());
    bytes.extend(node.to_le_bytes());
    // User and group 12 and 34, a process, padding.
    bytes.extend([12_u32, 34, 1, 0].map(u32::to_le_bytes).concat());
    bytes.extend(body);
    bytes
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[test]
fn files_are_made_written_read_renamed_and_removed() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut guest = Guest::new(dir.path());
    let create = |mode: u32, name: &str| {
        [&[libc::O_RDWR as u32, mode, 0, 0].map(u32::to_le_bytes).concat()[..], name.as_bytes(), b"\0"].concat()
    };
    let made = guest.ask(opcode::CREATE, ROOT, &create(0o640, "new")).expect("create");
    let (node, handle) = (number(&made, 0), number(&made, 128));
    let write = [&handle.to_le_bytes()[..], &0_u64.to_le_bytes(), &5_u32.to_le_bytes(), &[0; 20], b"hello"].concat();
    assert_eq!(guest.ask(opcode::WRITE, node, &write).expect("write")[0], 5);
    assert_eq!(guest.read(handle, 100).expect("read"), b"hello");
    let facts = std::fs::metadata(dir.path().join("new")).expect("it is on the host");
    assert_eq!(facts.mode() & 0o7777, 0o640);
    if rustix::process::geteuid().is_root() {
        assert_eq!((facts.uid(), facts.gid()), (12, 34), "it is the asker's");
    }
    let rename = [&ROOT.to_le_bytes()[..], b"new\0old\0"].concat();
    guest.ask(opcode::RENAME, ROOT, &rename).expect("rename");
    assert_eq!(guest.look_up(ROOT, "new"), Err(Errno::NOENT));
    let listed = {
        let handle = number(&guest.ask(opcode::OPENDIR, ROOT, &[0; 8]).expect("opendir"), 0);
        let body = [handle.to_le_bytes(), 0_u64.to_le_bytes(), 4096_u64.to_le_bytes(), [0; 8], [0; 8]].concat();
        guest.ask(opcode::READDIRPLUS, ROOT, &body).expect("readdir")
    };
    assert!(listed.windows(3).any(|part| part == b"old"));
    guest.ask(opcode::UNLINK, ROOT, b"old\0").expect("unlink");
    guest.ask(opcode::RELEASE, node, &[&handle.to_le_bytes()[..], &[0; 16]].concat()).expect("release");
    assert_eq!(guest.read(handle, 1), Err(Errno::BADF), "a handle that was given back");
    assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 0);
}

/// What a guest's kernel that is not Linux may say.
#[test]
fn a_hostile_guest_stays_inside() {
    let place = tempfile::tempdir().expect("tempdir");
    let shared = place.path().join("shared");
    std::fs::create_dir_all(shared.join("sub")).expect("mkdir");
    std::fs::write(place.path().join("secret"), "of the host").expect("write");
    std::os::unix::fs::symlink(place.path().join("secret"), shared.join("absolute")).expect("symlink");
    std::os::unix::fs::symlink("../secret", shared.join("upwards")).expect("symlink");
    rustix::fs::mknodat(rustix::fs::CWD, shared.join("pipe"), rustix::fs::FileType::Fifo, 0o666.into(), 0)
        .expect("mkfifo");
    let mut guest = Guest::new(&shared);

    for name in ["..", ".", "", "sub/../..", "/etc/passwd", "../secret", &"x".repeat(256)] {
        assert!(guest.look_up(ROOT, name).is_err(), "{name:?} is no name of an entry");
    }
    let sub = guest.look_up(ROOT, "sub").expect("a directory");
    assert_eq!(guest.look_up(sub, ".."), Err(Errno::INVAL));
    for (from, to) in [("..\0", "x\0"), ("sub\0", "../stolen\0")] {
        let body = [&ROOT.to_le_bytes()[..], from.as_bytes(), to.as_bytes()].concat();
        assert_eq!(guest.ask(opcode::RENAME, ROOT, &body), Err(Errno::INVAL));
    }
    // Links are words here; they are not followed, not even to open them.
    for name in ["absolute", "upwards"] {
        let link = guest.look_up(ROOT, name).expect("a link");
        assert_eq!(guest.open(link, 0), Err(Errno::LOOP));
        assert_eq!(guest.look_up(link, "x"), Err(Errno::NOTDIR));
        let truncate = [&8_u32.to_le_bytes()[..], &[0; 84]].concat();
        assert_eq!(guest.ask(opcode::SETATTR, link, &truncate), Err(Errno::LOOP));
    }
    assert_eq!(std::fs::read(place.path().join("secret")).expect("secret"), b"of the host");
    // A pipe would block the server for ever.
    let pipe = guest.look_up(ROOT, "pipe").expect("a pipe");
    assert_eq!(guest.open(pipe, 0), Err(Errno::NXIO));
    // Creating over a link or a pipe opens neither.
    for (name, errno) in [("absolute", Errno::LOOP), ("pipe", Errno::NXIO)] {
        let body = [&[1_u32, 0o666, 0, 0].map(u32::to_le_bytes).concat()[..], name.as_bytes(), b"\0"].concat();
        assert_eq!(guest.ask(opcode::CREATE, ROOT, &body), Err(errno), "{name}");
    }
    // Numbers that were never given, or given back.
    assert_eq!(guest.open(4711, 0), Err(Errno::NOENT));
    assert_eq!(guest.read(4711, 1), Err(Errno::BADF));
    assert!(guest.0.answer(&request(opcode::FORGET, sub, &1_u64.to_le_bytes()), ROOM).is_none());
    assert_eq!(guest.look_up(sub, "x"), Err(Errno::NOENT));
    // The root is never given back.
    assert!(guest.0.answer(&request(opcode::FORGET, ROOT, &u64::MAX.to_le_bytes()), ROOM).is_none());
    assert!(guest.look_up(ROOT, "sub").is_ok());
}

#[test]
fn every_cut_of_every_request_is_answered_or_ignored() {
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::write(dir.path().join("file"), "x").expect("write");
    let mut guest = Guest::new(dir.path());
    for opcode in 0..64 {
        for filler in [0_u8, 1, 0x61, 0xff] {
            let whole = request(opcode, ROOT, &[filler; 96]);
            for len in 0..whole.len() {
                let answer = guest.0.answer(&whole[..len], 256);
                assert!(answer.is_none_or(|answer| answer.len() <= 256), "opcode {opcode}, {len} bytes");
            }
        }
    }
}

#[test]
fn a_read_only_way_to_a_file_stays_read_only_beside_a_writable_one() {
    let place = tempfile::tempdir().expect("tempdir");
    let (shared, source) = (place.path().join("shared"), place.path().join("source"));
    for path in [shared.join("0"), shared.join("1"), source.clone()] {
        std::fs::create_dir_all(path).expect("mkdir");
    }
    std::fs::write(source.join("file"), "x").expect("write");
    let worked = std::thread::spawn(move || {
        use rustix::mount::{MountFlags, mount_bind, mount_change, mount_remount};
        if berth_sys::namespace::unshare(berth_sys::namespace::bit::MOUNT).is_err() {
            return false;
        }
        mount_change("/", rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC)
            .expect("private");
        mount_bind(&source, shared.join("0")).expect("bind");
        mount_bind(&source, shared.join("1")).expect("bind");
        mount_remount(shared.join("1"), MountFlags::BIND | MountFlags::RDONLY, "").expect("read only");
        let mut guest = Guest::new(&shared);
        let [writable, readable] = ["0", "1"].map(|name| {
            let directory = guest.look_up(ROOT, name).expect("a share");
            guest.look_up(directory, "file").expect("a file")
        });
        assert_ne!(writable, readable, "one file, two ways");
        assert!(guest.open(writable, libc::O_RDWR as u32).is_ok());
        assert_eq!(guest.open(readable, libc::O_RDWR as u32), Err(Errno::ROFS));
        true
    });
    if !worked.join().expect("test") {
        println!("skipped: needs a mount namespace");
    }
}
