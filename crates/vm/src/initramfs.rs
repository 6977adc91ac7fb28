//! The first file system of a guest: a cpio archive in the "newc" form
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

/// Writes an archive entry by entry.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER: u32 = 0o020_000;

impl Archive {
    /// A directory, mode 0755.
    pub fn directory(&mut self, name: &str) {
        self.entry(name, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// A file with permission bits `mode`.
    pub fn file(&mut self, name: &str, mode: u32, contents: &[u8]) {
        self.entry(name, REGULAR | mode, (0, 0), contents);
    }

    /// A character device, mode 0600.
    pub fn device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, CHARACTER | 0o600, (major, minor), &[]);
    }

    /// The whole archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
        self.inode += 1;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        let fields = [
            self.inode,
            mode,
            0,
            0,
            links,
            0,
            contents.len() as u32,
            0,
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A program without what no loader reads: everything behind its last loaded segment, which is where debug information
/// and the section table are (elf(5)). What is no 64-bit little-endian ELF file is left as it is.
#[must_use]
pub fn loaded_part(program: &[u8]) -> Vec<u8> {
    loaded_end(program).map_or_else(
        || program.to_vec(),
        |end| {
            let mut part = program[..end].to_vec();
            // e_shoff, e_shnum and e_shstrndx: there is no section table any more.
            part[0x28..0x30].fill(0);
            part[0x3c..0x40].fill(0);
            part
        },
    )
}

fn loaded_end(program: &[u8]) -> Option<usize> {
    const LOAD: u32 = 1;
    let word = |at: usize| Some(u64::from_le_bytes(program.get(at..at + 8)?.try_into().ok()?) as usize);
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(program.get(at..at + 2)?.try_into().ok()?)));
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (word(0x20)?, half(0x36)?, half(0x38)?);
    let mut end = table.checked_add(size * count)?.max(64);
    for index in 0..count {
        let at = table + index * size;
        let kind = u32::from_le_bytes(program.get(at..at + 4)?.try_into().ok()?);
        if kind == LOAD {
            end = end.max(word(at + 8)?.checked_add(word(at + 32)?)?);
        }
    }
    (end <= program.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_the_end_is_marked() {
        let mut archive = Archive::default();
        archive.directory("dev");
        archive.device("dev/console", 5, 1);
        archive.file("init", 0o755, b"#!");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.starts_with(b"07070100000001000041ED"));
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("dev/console\0") && text.contains("TRAILER!!!\0"));
    }

    #[test]
    fn the_part_that_is_loaded_still_runs() {
        let own = std::fs::read(std::env::current_exe().expect("own path")).expect("own program");
        let part = loaded_part(&own);
        assert!(part.len() < own.len(), "a test program has debug information");
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("part");
        std::fs::write(&path, &part).expect("write");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
        let listed = std::process::Command::new(&path).arg("--list").output().expect("runs");
        assert!(listed.status.success());
        assert_eq!(loaded_part(b"#!/bin/sh"), b"#!/bin/sh");
        assert_eq!(loaded_part(&own[..70]), &own[..70]);
    }
}
