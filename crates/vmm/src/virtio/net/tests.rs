//! A network device as a driver sees it, on a socket of packets, and as an attacker does.

use std::os::{fd::OwnedFd, unix::net::UnixDatagram};

use super::*;
use crate::virtio::hostile::{Driver, attack, nic};

fn net(rate: config::Rate) -> (Box<dyn Device>, UnixDatagram) {
    let (near, far) = UnixDatagram::pair().expect("pair");
    near.set_nonblocking(true).expect("nonblocking");
    far.set_nonblocking(true).expect("nonblocking");
    (Box::new(Net::on(Box::new(near), &nic(rate)).expect("net")), far)
}

fn frame(bytes: usize, filler: u8) -> Vec<u8> {
    let mut frame = vec![filler; HEADER_BYTES + bytes];
    frame[..HEADER_BYTES].fill(0);
    frame
}

#[test]
fn packets_go_both_ways() {
    let (device, far) = net(config::Rate::default());
    let mut driver = Driver::of(device);
    driver.start(MAC | MERGEABLE);
    driver.ask(SEND, &frame(100, 7), 0);
    let mut got = [0; 2000];
    let bytes = far.recv(&mut got).expect("packet");
    assert_eq!((bytes, got[HEADER_BYTES]), (HEADER_BYTES + 100, 7));
    far.send(&frame(60, 8)).expect("send");
    let received = driver.ask(RECEIVE, &[], 1526);
    assert_eq!((received.len(), received[BUFFERS_AT], received[HEADER_BYTES]), (HEADER_BYTES + 60, 1, 8));
}

#[test]
fn a_large_packet_takes_several_buffers_and_waits_for_them() {
    let (device, far) = net(config::Rate::default());
    let mut driver = Driver::of(device);
    driver.start(MAC | MERGEABLE);
    far.send(&frame(2500, 9)).expect("send");
    assert_eq!(driver.ask(RECEIVE, &[], 1000), b"", "one buffer is too little");
    assert_eq!(driver.ask(RECEIVE, &[], 1000), b"", "so are two");
    let last = driver.ask(RECEIVE, &[], 1000);
    assert_eq!(driver.used(RECEIVE), [1000, 1000, (HEADER_BYTES + 2500 - 2000) as u32]);
    assert!(last.iter().all(|byte| *byte == 9));
}

#[test]
fn packets_that_are_none_are_dropped() {
    let (device, far) = net(config::Rate::default());
    let mut driver = Driver::of(device);
    driver.start(MAC | MERGEABLE);
    driver.ask(SEND, &[0; HEADER_BYTES], 0);
    driver.ask(SEND, &[0; 3], 0);
    assert_eq!(driver.used(SEND).len(), 2);
    assert!(far.recv(&mut [0; 100]).is_err(), "nothing was sent");
}

#[test]
fn a_limited_sender_goes_on_after_a_while() {
    let (device, far) = net(config::Rate { bytes_per_s: 0, operations_per_s: 20 });
    let mut driver = Driver::of(device);
    driver.start(MAC | MERGEABLE);
    for _ in 0..4 {
        driver.ask(SEND, &frame(10, 1), 0);
    }
    let at_once = driver.used(SEND).len();
    assert!(at_once < 4, "{at_once}");
    for _ in 0..200 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        (1..3).for_each(|timer| drop(driver.wake(timer)));
    }
    assert_eq!(driver.used(SEND).len(), 4);
    let mut buffer = [0; 100];
    assert_eq!(std::iter::from_fn(|| far.recv(&mut buffer).ok()).count(), 4);
}

#[test]
fn a_tap_is_joined_where_one_can_be_made() {
    let missing = config::Nic { tap: "berth-none0".to_owned(), ..nic(config::Rate::default()) };
    match Net::new(&missing) {
        // Root makes the tap by joining it; it is gone with its descriptor.
        Ok(net) => assert_eq!(net.sources().len(), 1),
        Err(error) => println!("skipped: no tap here ({})", error.chain()),
    }
}

#[test]
fn hostile_drivers_break_nothing_but_the_device() {
    let kept = std::sync::Mutex::new(Vec::<OwnedFd>::new());
    attack(
        || {
            let (device, far) = net(config::Rate::default());
            for _ in 0..8 {
                far.send(&frame(1400, 1)).expect("send");
            }
            kept.lock().expect("lock").push(far.into());
            device
        },
        MAC | MERGEABLE,
    );
}
