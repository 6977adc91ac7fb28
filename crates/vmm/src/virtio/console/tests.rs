//! Ports as a driver sees them, and as an attacker does.

use std::io::{Read as _, Write as _};

use super::*;
use crate::virtio::hostile::{Driver, attack};

const IN: usize = queue_in(1);
const OUT: usize = queue_in(1) + 1;

fn console() -> (Box<dyn Device>, UnixStream) {
    let (near, far) = UnixStream::pair().expect("pair");
    far.set_nonblocking(true).expect("nonblocking");
    (Box::new(Console::on(vec![("berth".to_owned(), near)]).expect("console")), far)
}

/// A driver with the port open.
fn opened() -> (Driver, UnixStream) {
    let (device, far) = console();
    let mut driver = Driver::of(device);
    driver.start(MULTIPORT);
    driver.ask(CONTROL_OUT, &message(0, event::DEVICE_READY, 1), 0);
    assert_eq!(driver.ask(CONTROL_IN, &[], 64), message(1, event::PORT_ADD, 1));
    driver.ask(CONTROL_OUT, &message(1, event::PORT_READY, 1), 0);
    assert_eq!(driver.ask(CONTROL_IN, &[], 64), [&message(1, event::PORT_NAME, 1)[..], b"berth"].concat());
    assert_eq!(driver.ask(CONTROL_IN, &[], 64), message(1, event::PORT_OPEN, 1));
    driver.ask(CONTROL_OUT, &message(1, event::PORT_OPEN, 1), 0);
    (driver, far)
}

#[test]
fn bytes_go_both_ways_once_the_guest_listens() {
    let (mut driver, mut far) = opened();
    assert_eq!(driver.config(4), 2);
    driver.ask(OUT, b"hello", 0);
    let mut got = [0; 16];
    assert_eq!(far.read(&mut got).expect("read"), 5);
    far.write_all(b"answer").expect("write");
    assert_eq!(driver.ask(IN, &[], 64), b"answer");
}

#[test]
fn bytes_before_the_guest_listens_wait() {
    let (device, mut far) = console();
    let mut driver = Driver::of(device);
    driver.start(MULTIPORT);
    far.write_all(b"early").expect("write");
    assert_eq!(driver.ask(IN, &[], 64), b"");
    assert_eq!(driver.wake(0), b"");
    driver.ask(CONTROL_OUT, &message(1, event::PORT_OPEN, 1), 0);
    assert_eq!(driver.used(IN), [5]);
}

#[test]
fn a_host_that_takes_nothing_stops_the_guest_and_loses_nothing() {
    let (mut driver, mut far) = opened();
    let chunk: Vec<u8> = (0..=255).cycle().take(32 << 10).collect();
    let mut asked = 0;
    while driver.used(OUT).len() == asked && asked < 100 {
        driver.ask(OUT, &chunk, 0);
        asked += 1;
    }
    assert!(asked < 100, "the socket never fills");
    let mut got = Vec::new();
    let mut buffer = [0; 8192];
    while got.len() < asked * chunk.len() {
        while let Ok(bytes @ 1..) = far.read(&mut buffer) {
            got.extend_from_slice(&buffer[..bytes]);
        }
        driver.wake(0);
    }
    assert!(got.chunks(chunk.len()).all(|part| part == chunk));
}

#[test]
fn the_guest_hears_that_the_host_is_gone() {
    let (mut driver, far) = opened();
    driver.ask(IN, &[], 64);
    drop(far);
    driver.wake(0);
    assert_eq!(driver.ask(CONTROL_IN, &[], 64), message(1, event::PORT_OPEN, 0));
    driver.ask(OUT, b"into the void", 0);
    assert_eq!(driver.used(OUT).len(), 1);
}

#[test]
fn a_driver_that_asks_and_never_listens_is_cut_off() {
    let (device, _far) = console();
    let mut driver = Driver::of(device);
    driver.start(MULTIPORT);
    for _ in 0..MESSAGES_MAX + 2 {
        driver.ask(CONTROL_OUT, &message(0, event::DEVICE_READY, 1), 0);
    }
    assert!(driver.is_broken());
}

#[test]
fn hostile_drivers_break_nothing_but_the_device() {
    let kept = std::sync::Mutex::new(Vec::new());
    attack(
        || {
            let (device, mut far) = console();
            far.write_all(&[7; 4096]).expect("write");
            kept.lock().expect("lock").push(far);
            device
        },
        MULTIPORT,
    );
}
