//! The image that the tests run: a root file system around Debian's static BusyBox, made here, no network.

use std::path::Path;

/// Where Debian puts BusyBox.
const PLACES: &[&str] = &["/usr/bin/busybox", "/bin/busybox"];

/// The applets that tests call by name.
const APPLETS: &[&str] = &[
    "[", "ash", "awk", "base64", "cat", "chmod", "chown", "cut", "date", "dd", "df", "echo", "env", "expr", "false",
    "find", "free", "grep", "head", "hostname", "httpd", "id", "ifconfig", "ip", "kill", "killall", "ln", "ls",
    "md5sum", "mkdir", "mkfifo", "mknod", "mount", "mv", "nc", "nproc", "nslookup", "od", "ping", "printf", "ps",
    "pwd", "readlink", "rm", "route", "sed", "seq", "sh", "sleep", "sort", "stat", "stty", "su", "sync", "tail", "tar",
    "tee", "test", "timeout", "top", "touch", "tr", "true", "tty", "umount", "uname", "uniq", "usleep", "wc", "wget",
    "whoami", "yes",
];

/// The archive of the root file system, or why it cannot be made.
pub fn rootfs() -> Result<Vec<u8>, String> {
    rootfs_with(|_| {})
}

/// As [`rootfs`], with more entries, which may replace earlier ones.
pub fn rootfs_with(add: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Result<Vec<u8>, String> {
    let path = PLACES.iter().find(|path| Path::new(path).is_file()).ok_or("busybox is not installed")?;
    let program = std::fs::read(path).map_err(|error| format!("reading {path}: {error}"))?;
    if program.windows(10).any(|window| window == b"/ld-linux-") {
        return Err(format!("{path} is not static: install busybox-static"));
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (folder, mode) in [("bin", 0o755), ("dev", 0o755), ("etc", 0o755), ("home", 0o755), ("proc", 0o755)] {
        directory(&mut archive, folder, mode);
    }
    for (folder, mode) in [("root", 0o700), ("sys", 0o755), ("tmp", 0o1777), ("usr", 0o755), ("var", 0o755)] {
        directory(&mut archive, folder, mode);
    }
    file(&mut archive, "bin/busybox", &program, 0o755);
    for applet in APPLETS {
        link(&mut archive, &format!("bin/{applet}"), "busybox");
    }
    file(
        &mut archive,
        "etc/passwd",
        b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nalice:x:1000:1000::/home:/bin/sh\n",
        0o644,
    );
    file(
        &mut archive,
        "etc/group",
        b"root:x:0:\ndaemon:x:1:\naudio:x:29:alice\nalice:x:1000:\nvideo:x:44:alice\n",
        0o644,
    );
    file(&mut archive, "etc/not-executable", b"text\n", 0o644);
    add(&mut archive);
    archive.into_inner().map_err(|error| error.to_string())
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(1_700_000_000);
    header
}

fn directory(archive: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32) {
    let mut header = header(0, mode);
    header.set_entry_type(tar::EntryType::Directory);
    archive.append_data(&mut header, format!("{path}/"), std::io::empty()).expect("memory");
}

/// Appends a symbolic link.
pub fn link(archive: &mut tar::Builder<Vec<u8>>, path: &str, target: &str) {
    let mut header = header(0, 0o777);
    header.set_entry_type(tar::EntryType::Symlink);
    archive.append_link(&mut header, path, target).expect("memory");
}

/// Appends one regular file; also of use to tests that make archives of their own.
pub fn file(archive: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8], mode: u32) {
    archive.append_data(&mut header(bytes.len() as u64, mode), path, bytes).expect("memory");
}

/// Appends a named pipe.
pub fn fifo(archive: &mut tar::Builder<Vec<u8>>, path: &str) {
    let mut header = header(0, 0o644);
    header.set_entry_type(tar::EntryType::Fifo);
    archive.append_data(&mut header, path, std::io::empty()).expect("memory");
}

/// An archive of regular files, owned by root.
pub fn files(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in entries {
        file(&mut archive, path, bytes, 0o644);
    }
    archive.into_inner().expect("memory")
}
