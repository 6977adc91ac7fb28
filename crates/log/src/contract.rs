//! What every [`LogDriver`](crate::LogDriver) does, as a suite that each implementation runs.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use crate::{Entry, LINE_MAX, LogDriver, Stream};

/// What an observer saw of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Which stream.
    pub stream: Stream,
    /// The entry's bytes without newline.
    pub bytes: Vec<u8>,
    /// Not the end of its line.
    pub partial: bool,
}

/// How the suite makes a driver and sees what it keeps.
pub struct Subject<'a> {
    /// Opens the driver on a path; called again after the driver was dropped.
    pub open: &'a dyn Fn(&Path) -> Box<dyn LogDriver>,
    /// All entries kept so far, oldest first; `None` when the driver keeps nothing.
    pub observe: &'a dyn Fn(&Path) -> Option<Vec<Observed>>,
}

/// Runs the suite in the empty directory `dir`.
///
/// # Panics
/// When the driver breaks the contract.
pub fn run(subject: &Subject<'_>, dir: &Path) {
    let path = dir.join("contract.log");
    let mut expected = Vec::new();
    let mut at = Timestamp::UNIX_EPOCH;
    let mut write = |driver: &mut dyn LogDriver, expected: &mut Vec<Observed>, stream, bytes: &[u8], partial| {
        at = at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(at);
        driver.write(&Entry { stream, at, partial, bytes }).expect("write");
        expected.push(Observed { stream, bytes: bytes.to_vec(), partial });
    };
    let check = |expected: &[Observed], when: &str| {
        if let Some(seen) = (subject.observe)(&path) {
            assert_eq!(seen, expected, "{when}");
        }
    };

    let mut driver = (subject.open)(&path);
    assert!(!driver.name().is_empty());
    driver.flush().expect("a flush of nothing");
    check(&expected, "nothing written");

    write(&mut *driver, &mut expected, Stream::Stdout, b"first", false);
    write(&mut *driver, &mut expected, Stream::Stderr, b"second", false);
    write(&mut *driver, &mut expected, Stream::Stdout, b"", false);
    driver.flush().expect("flush");
    driver.flush().expect("a second flush");
    check(&expected, "kept after flush, in order, streams apart, empty lines too");

    write(&mut *driver, &mut expected, Stream::Stdout, &vec![b'l'; LINE_MAX], true);
    write(&mut *driver, &mut expected, Stream::Stdout, &vec![b'l'; LINE_MAX], true);
    write(&mut *driver, &mut expected, Stream::Stdout, b"end", false);
    driver.flush().expect("flush");
    check(&expected, "the longest pieces");

    write(
        &mut *driver,
        &mut expected,
        Stream::Stdout,
        "tab\t quote\" \\ \r \u{1b}[1m <&> käse \u{2028}".as_bytes(),
        false,
    );
    let every: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    write(&mut *driver, &mut expected, Stream::Stderr, &every, false);
    for number in 0..500 {
        write(&mut *driver, &mut expected, Stream::Stdout, format!("line {number}").as_bytes(), false);
    }
    driver.close().expect("close");
    check(&expected, "kept after close");
    drop(driver);

    let mut driver = (subject.open)(&path);
    write(&mut *driver, &mut expected, Stream::Stdout, b"after reopening", false);
    driver.flush().expect("flush");
    drop(driver);
    check(&expected, "what was kept stays when the log is opened again");
}
