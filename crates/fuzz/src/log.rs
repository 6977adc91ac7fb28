//! Log files: what a crash, a full disk or a foreign hand left in them.

use std::io::Write;
use std::path::Path;

use berth_log::{ReadOptions, Reader};

/// Entries that are read of one file at most.
const ENTRIES_MAX: usize = 100_000;

/// A file of Docker's format.
pub fn json_file(input: &[u8]) {
    read("json-file", input);
}

/// A file of the framed format; an input that does not begin with its mark is tried behind one, too.
pub fn local(input: &[u8]) {
    read("local", input);
    for entry in Frames(input) {
        assert!(entry <= input.len());
    }
}

/// The frames at the beginning of some bytes, by their ends.
struct Frames<'a>(&'a [u8]);

impl Iterator for Frames<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match berth_log::frame::decode(self.0) {
            berth_log::frame::Decoded::Frame(_, length) => {
                assert!(length > 0 && length <= self.0.len());
                self.0 = &self.0[length..];
                Some(length)
            }
            _ => None,
        }
    }
}

/// Every entry and the last three: no panic, an end, and no more of the last than there are.
fn read(driver: &str, input: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("container.log");
    std::fs::File::create(&path).and_then(|mut file| file.write_all(input)).expect("a file");
    let all = entries(driver, &path, ReadOptions::default());
    let last = entries(driver, &path, ReadOptions { tail: Some(3), ..ReadOptions::default() });
    assert!(all < ENTRIES_MAX, "there is no end");
    assert!(last <= 3, "three were asked for: {last}");
}

fn entries(driver: &str, path: &Path, options: ReadOptions) -> usize {
    let Ok(reader) = Reader::open(driver, path, options) else { return 0 };
    reader.take(ENTRIES_MAX).take_while(Result::is_ok).count()
}
