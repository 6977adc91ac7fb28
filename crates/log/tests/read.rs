//! Reading: tail, times, rotation, following, and files that a crash or a stranger left.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
};

use berth_log::{ContainerTags, Entry, LogConfig, LogDriver, ReadOptions, Reader, Stream};
use jiff::Timestamp;

const DRIVERS: [&str; 2] = ["json-file", "local"];

fn open(config: &LogConfig, path: &Path) -> Box<dyn LogDriver> {
    berth_log::open(config, path, &ContainerTags::default()).unwrap()
}

fn put(log: &mut dyn LogDriver, second: i64, stream: Stream, bytes: &[u8], partial: bool) {
    let at = Timestamp::from_second(second).unwrap();
    log.write(&Entry { stream, at, partial, bytes }).unwrap();
}

fn read(driver: &str, path: &Path, options: ReadOptions) -> Vec<String> {
    Reader::open(driver, path, options).unwrap().map(|record| text(&record.unwrap().bytes)).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn tail(lines: usize) -> ReadOptions {
    ReadOptions { tail: Some(lines), ..ReadOptions::default() }
}

#[test]
fn tail_counts_lines_not_pieces_across_rotations() {
    for driver in DRIVERS {
        for compress in ["true", "false"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let config =
                LogConfig::new(driver).with("max-size", "4k").with("max-file", "1000").with("compress", compress);
            let mut log = open(&config, &path);
            for number in 0..300i64 {
                let stream = if number % 3 == 0 { Stream::Stderr } else { Stream::Stdout };
                put(&mut *log, number, stream, b"piece ", true);
                put(&mut *log, number, stream, format!("and line {number}").as_bytes(), false);
                log.flush().unwrap();
            }
            log.close().unwrap();
            let all = read(driver, &path, ReadOptions::default());
            assert_eq!(all.len(), 300, "{driver} {compress}");
            for lines in [0, 1, 2, 10, 77, 299, 300, 301, 100_000] {
                let start = 300usize.saturating_sub(lines);
                assert_eq!(read(driver, &path, tail(lines)), all[start..], "{driver} {compress} tail {lines}");
            }
        }
    }
}

#[test]
fn times_and_streams_choose() {
    for driver in DRIVERS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = open(&LogConfig::new(driver), &path);
        for second in 10..20 {
            let stream = if second % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
            put(&mut *log, second, stream, second.to_string().as_bytes(), false);
        }
        log.flush().unwrap();
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let all = ReadOptions::default;
        for (options, expected) in [
            (ReadOptions { since: at(17), ..all() }, "17 18 19"),
            (ReadOptions { until: at(12), ..all() }, "10 11 12"),
            (ReadOptions { since: at(12), until: at(14), ..all() }, "12 13 14"),
            (ReadOptions { stderr: false, since: at(15), ..all() }, "16 18"),
            (ReadOptions { stdout: false, tail: Some(4), ..all() }, "17 19"),
            (ReadOptions { since: at(99), ..all() }, ""),
            (ReadOptions { until: at(0), ..all() }, ""),
        ] {
            let seen = read(driver, &path, options.clone()).concat();
            assert_eq!(seen.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{driver} {options:?}");
        }
    }
}

#[test]
fn following_sees_new_lines_and_every_rotation() {
    for driver in DRIVERS {
        for (compress, max_file) in [("false", "5"), ("true", "5"), ("false", "1")] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let options = ReadOptions { follow: true, ..ReadOptions::default() };
            let mut reader = Reader::open(driver, &path, options).unwrap();
            assert!(reader.next().is_none(), "no log yet");
            let config =
                LogConfig::new(driver).with("max-size", "1k").with("max-file", max_file).with("compress", compress);
            let mut log = open(&config, &path);
            for number in 0..200 {
                put(&mut *log, number, Stream::Stdout, number.to_string().as_bytes(), false);
                log.flush().unwrap();
                let seen = reader.next().expect("a line").unwrap();
                assert_eq!(text(&seen.bytes), format!("{number}\n"), "{driver} {compress} {max_file}");
                assert!(reader.next().is_none());
            }
            put(&mut *log, 999, Stream::Stdout, b"unfinished", true);
            log.flush().unwrap();
            assert!(reader.next().is_none(), "held back while more may come");
            reader.stop_following();
            assert_eq!(reader.next().unwrap().unwrap().bytes, b"unfinished");
            assert!(reader.next().is_none() && reader.is_finished());
        }
    }
}

#[test]
fn a_slow_follower_catches_up_over_several_rotations() {
    for driver in DRIVERS {
        for compress in ["true", "false"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let config =
                LogConfig::new(driver).with("max-size", "1k").with("max-file", "100").with("compress", compress);
            let mut log = open(&config, &path);
            put(&mut *log, 0, Stream::Stdout, b"0", false);
            log.flush().unwrap();
            let options = ReadOptions { follow: true, ..ReadOptions::default() };
            let mut reader = Reader::open(driver, &path, options).unwrap();
            let mut seen = vec![text(&reader.next().unwrap().unwrap().bytes)];
            for number in 1..300 {
                put(&mut *log, number, Stream::Stdout, number.to_string().as_bytes(), false);
                log.flush().unwrap();
            }
            seen.extend(reader.by_ref().map(|record| text(&record.unwrap().bytes)));
            let expected: Vec<String> = (0..300).map(|number| format!("{number}\n")).collect();
            assert_eq!(seen, expected, "{driver} {compress}");
        }
    }
}

#[test]
fn torn_ends_are_mended_by_the_writer_and_passed_by_readers() {
    for driver in DRIVERS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = open(&LogConfig::new(driver), &path);
        put(&mut *log, 1, Stream::Stdout, b"whole", false);
        log.flush().unwrap();
        let whole = fs::metadata(&path).unwrap().len();
        put(&mut *log, 2, Stream::Stdout, b"torn by a crash", false);
        log.flush().unwrap();
        drop(log);
        let full = fs::read(&path).unwrap();
        for cut in whole as usize..full.len() {
            fs::write(&path, &full[..cut]).unwrap();
            assert_eq!(read(driver, &path, ReadOptions::default()), ["whole\n"], "{driver} cut at {cut}");
            assert_eq!(read(driver, &path, tail(1)), ["whole\n"], "{driver} tail, cut at {cut}");
            let mut log = open(&LogConfig::new(driver), &path);
            put(&mut *log, 3, Stream::Stdout, b"next", false);
            log.close().unwrap();
            let seen = read(driver, &path, ReadOptions::default());
            // A JSON line that lacks only its newline is whole again with it.
            let complete = driver == "json-file" && cut == full.len() - 1;
            let expected: &[&str] =
                if complete { &["whole\n", "torn by a crash\n", "next\n"] } else { &["whole\n", "next\n"] };
            assert_eq!(seen, expected, "{driver} mended after a cut at {cut}");
        }
    }
}

#[test]
fn hostile_bytes_between_entries_are_skipped() {
    let long = vec![b'x'; 3 << 20];
    let deep = [b"[".repeat(100_000), b"\n".to_vec()].concat();
    let hostile: &[(&str, &[u8])] = &[
        ("zeros", &[0; 5000]),
        ("ones", &[0xff; 5000]),
        ("text", b"not a log\n"),
        ("half an object", b"{\"log\":\"x\n"),
        ("a huge line", &long),
        ("deep nesting", &deep),
        ("lengths that lie", &[0x09, 0x40, 0, 0, 1, 2, 3]),
        ("a foreign stream", b"{\"log\":\"x\\n\",\"stream\":\"stdlog\",\"time\":\"2026-01-01T00:00:00Z\"}\n"),
        ("empty lines", b"\n\n\n\r\n"),
    ];
    for driver in DRIVERS {
        for (name, bytes) in hostile {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let mut log = open(&LogConfig::new(driver), &path);
            put(&mut *log, 1, Stream::Stdout, b"before", false);
            log.close().unwrap();
            drop(log);
            OpenOptions::new().append(true).open(&path).unwrap().write_all(bytes).unwrap();
            let _ = read(driver, &path, ReadOptions::default());
            let mut log = open(&LogConfig::new(driver), &path);
            put(&mut *log, 2, Stream::Stdout, b"after", false);
            log.close().unwrap();
            assert_eq!(read(driver, &path, ReadOptions::default()), ["before\n", "after\n"], "{driver}: {name}");
            assert_eq!(read(driver, &path, tail(1)), ["after\n"], "{driver}: tail after {name}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for (name, bytes) in hostile {
            fs::write(&path, bytes).unwrap();
            fs::write(dir.path().join("log.1.gz"), bytes).unwrap();
            assert_eq!(read(driver, &path, tail(7)), [""; 0], "{driver}: only {name}");
            assert_eq!(read(driver, &path, ReadOptions::default()), [""; 0], "{driver}: only {name}");
        }
    }
}

#[test]
fn a_full_disk_loses_entries_but_tears_none() {
    // /dev/full takes no byte; a driver that was opened on it stays usable.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let mut log = open(&LogConfig::new("json-file"), &path);
    for second in 0..3 {
        put(&mut *log, second, Stream::Stdout, b"lost", false);
        assert!(log.flush().unwrap_err().to_string().contains("cannot write the log file"));
    }
}

#[test]
fn drivers_that_keep_nothing_say_so() {
    let error = Reader::open("syslog", Path::new("/nowhere"), ReadOptions::default()).err().unwrap();
    assert_eq!(error.to_string(), "configured logging driver does not support reading");
}

#[test]
fn watching_wakes_on_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let watch = berth_log::watch(&path).unwrap();
    let mut buffer = [0u8; 4096];
    assert!(rustix::io::read(&watch, &mut buffer).is_err());
    fs::write(&path, b"x").unwrap();
    assert!(rustix::io::read(&watch, &mut buffer).unwrap() > 0);
}
