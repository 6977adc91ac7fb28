//! A disk as a driver sees it, and as an attacker does.

use std::{io::Write as _, path::Path};

use super::{
    bits::{kind, status},
    *,
};
use crate::virtio::hostile::{Driver, attack};

fn disk(path: &Path, read_only: bool) -> config::Disk {
    config::Disk {
        path: path.to_owned(),
        read_only,
        serial: "berth-root".to_owned(),
        volatile: true,
        rate: config::Rate::default(),
    }
}

/// A disk of 8 sectors, each full of its number.
fn file(dir: &tempfile::TempDir) -> std::path::PathBuf {
    let path = dir.path().join("disk");
    let mut file = std::fs::File::create(&path).expect("create");
    for sector in 0..8_u8 {
        file.write_all(&[sector; 512]).expect("write");
    }
    path
}

fn head(kind: u32, sector: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat()
}

fn started(of: &config::Disk) -> Driver {
    let block = Block::new(of).expect("disk");
    let features = block.features();
    let mut driver = Driver::of(Box::new(block));
    driver.start(features);
    driver
}

#[test]
fn sectors_are_read_and_written() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = file(&dir);
    let mut driver = started(&disk(&path, false));
    let answer = driver.ask(0, &head(kind::IN, 3), 1025);
    assert_eq!((answer[0], answer[512], answer[1024]), (3, 4, status::OK));
    let request = [head(kind::OUT, 5), vec![9; 512]].concat();
    assert_eq!(driver.ask(0, &request, 1), [status::OK]);
    assert_eq!(std::fs::read(&path).expect("read")[5 * 512..6 * 512], [9; 512]);
    assert_eq!(driver.ask(0, &head(kind::FLUSH, 0), 1), [status::OK]);
    let serial = driver.ask(0, &head(kind::GET_ID, 0), 21);
    assert_eq!(&serial[..10], b"berth-root");
    assert_eq!((driver.config(0), driver.config(4)), (8, 0));
}

#[test]
fn what_is_discarded_reads_as_zero() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = file(&dir);
    let mut driver = started(&disk(&path, false));
    let segment = [&2_u64.to_le_bytes()[..], &3_u32.to_le_bytes(), &0_u32.to_le_bytes()].concat();
    for kind in [kind::DISCARD, kind::WRITE_ZEROES] {
        let answer = driver.ask(0, &[head(kind, 0), segment.clone()].concat(), 1);
        assert!(answer == [status::OK] || answer == [status::UNSUPPORTED], "{answer:?}");
        if answer == [status::OK] {
            assert_eq!(std::fs::read(&path).expect("read")[2 * 512..5 * 512], [0; 1536]);
        }
    }
    assert_eq!(std::fs::read(&path).expect("read")[5 * 512], 5);
}

#[test]
fn what_cannot_be_is_answered_with_an_error() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = file(&dir);
    let before = std::fs::read(&path).expect("read");
    let mut driver = started(&disk(&path, true));
    let segment = [&7_u64.to_le_bytes()[..], &2_u32.to_le_bytes(), &0_u32.to_le_bytes()].concat();
    for (request, room) in [
        (head(kind::IN, 8), 513),
        (head(kind::IN, 7), 1025),
        (head(kind::IN, u64::MAX), 513),
        (head(kind::IN, 0), 101),
        ([head(kind::OUT, 0), vec![1; 512]].concat(), 1),
        ([head(kind::OUT, u64::MAX / 512), vec![1; 512]].concat(), 1),
        ([head(kind::DISCARD, 0), segment].concat(), 1),
        (head(77, 0), 1),
    ] {
        let answer = driver.ask(0, &request, room);
        assert_eq!(answer.len(), 1, "nothing but the status is written: {request:?}");
        assert_ne!(driver.last_byte(), status::OK, "{request:?}");
    }
    assert_eq!(std::fs::read(&path).expect("read"), before);
}

#[test]
fn a_limited_disk_goes_on_after_a_while() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = file(&dir);
    let mut slow = disk(&path, true);
    slow.rate.operations_per_s = 20;
    let mut driver = started(&slow);
    let started = std::time::Instant::now();
    let mut waited = 0;
    for _ in 0..4 {
        let request = head(kind::IN, 1);
        let mut answer = driver.ask(0, &request, 513);
        while answer.is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(5));
            waited += 1;
            answer = driver.wake(0);
        }
        assert_eq!((answer[0], answer[512]), (1, status::OK));
    }
    assert!(waited > 0 && started.elapsed().as_millis() >= 50, "{waited} waits in {:?}", started.elapsed());
}

#[test]
fn a_disk_that_is_written_has_one_machine() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = file(&dir);
    let first = Block::new(&disk(&path, false)).expect("first");
    assert!(Block::new(&disk(&path, false)).is_err());
    drop(first);
    assert!(Block::new(&disk(&path, false)).is_ok());
}

#[test]
fn hostile_drivers_break_nothing_but_the_device() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = file(&dir);
    attack(|| Box::new(Block::new(&disk(&path, true)).expect("disk")), 0);
    assert_eq!(std::fs::metadata(&path).expect("file").len(), 8 * 512);
}
