//! A table of what hostile drivers do, tried on every queue of a device.

use vm_memory::{Bytes as _, GuestAddress};

use super::{
    super::{
        Device,
        bits::{VERSION_1, register, status},
    },
    BUFFERS, Driver, ENTRIES, INDIRECT, MEMORY_BYTES, NEXT, QUEUES, WRITE,
};

/// Descriptors (address, length, flags, next) of an attack.
type Table = Vec<(u64, u32, u16, u16)>;

fn attacks() -> Vec<(&'static str, Table)> {
    let at = BUFFERS;
    vec![
        ("a loop of one", vec![(at, 64, NEXT, 0)]),
        ("a loop of two to write", vec![(at, 64, NEXT | WRITE, 1), (at, 64, NEXT | WRITE, 0)]),
        ("a next one outside of the table", vec![(at, 16, NEXT, 999)]),
        ("an address outside of the memory", vec![(MEMORY_BYTES, 64, WRITE, 0)]),
        ("an address that wraps around", vec![(u64::MAX - 8, 64, WRITE, 0)]),
        ("a length beyond the memory", vec![(at, u32::MAX, WRITE, 0)]),
        ("lengths whose sum wraps around", vec![(at, u32::MAX, NEXT, 1), (at, u32::MAX, NEXT, 2), (at, 64, WRITE, 0)]),
        ("nothing at all", vec![(at, 0, 0, 0)]),
        ("no room", vec![(at, 0, WRITE, 0)]),
        ("a byte", vec![(at, 1, 0, 0)]),
        ("a byte of room", vec![(at, 1, WRITE, 0)]),
        ("one to read behind one to write", vec![(at, 64, NEXT | WRITE, 1), (at, 64, 0, 0)]),
        ("the queue itself", vec![(QUEUES, 0x4000, WRITE, 0)]),
        ("overlapping ones", vec![(at, 4096, NEXT, 1), (at + 8, 4096, NEXT | WRITE, 2), (at, 4096, WRITE, 0)]),
        ("all of the memory", vec![(0, MEMORY_BYTES as u32, WRITE, 0)]),
        ("an indirect table in itself", vec![(QUEUES, 16, INDIRECT, 0)]),
        ("an indirect table of half an entry", vec![(at, 24, INDIRECT, 0)]),
        ("an indirect table that is too long", vec![(at, 0xffff_fff0, INDIRECT, 0)]),
        ("an indirect table with a successor", vec![(at, 16, INDIRECT | NEXT, 1), (at, 64, WRITE, 0)]),
        ("an empty indirect table", vec![(at, 0, INDIRECT, 0)]),
        ("unknown flags", vec![(at, 64, 0xfff8, 0)]),
    ]
}

/// Attacks a device in every way of the table, in every queue; after each it can be reset and used again.
pub fn attack(make: impl Fn() -> Box<dyn Device>, features: u64) {
    let queues = Driver::of(make()).available.len();
    for (name, table) in attacks() {
        for queue in 0..queues {
            let mut driver = Driver::of(make());
            driver.start(features);
            for (index, one) in (0_u16..).zip(&table) {
                driver.descriptor(queue, index, *one);
            }
            driver.publish(queue, 0);
            driver.turn(queue);
            driver.wake(0);
            recovers(&mut driver, features, name);
        }
    }
    for queue in 0..queues {
        lies_about_the_ring(&make, features, queue);
    }
    wrong_order(&make);
}

/// A reset in the middle of whatever it is, and a new start.
fn recovers(driver: &mut Driver, features: u64, name: &str) {
    driver.set(register::STATUS, 0);
    assert_eq!(driver.get(register::STATUS), 0, "after {name}: no reset");
    driver.available.fill(0);
    for queue in 0..driver.available.len() {
        for place in driver.places(queue) {
            driver.memory.write_slice(&[0; 0x1000], GuestAddress(place)).expect("in memory");
        }
    }
    driver.start(features);
    assert!(!driver.is_broken(), "after {name}: it stays broken");
}

fn lies_about_the_ring(make: &impl Fn() -> Box<dyn Device>, features: u64, queue: usize) {
    // A count of buffers far ahead, and heads outside of the table.
    for (count, head) in [(ENTRIES + 1, 0), (u16::MAX, 0), (1, u16::MAX), (ENTRIES, 15)] {
        let mut driver = Driver::of(make());
        driver.start(features);
        let available = driver.places(queue)[1];
        for slot in 0..u64::from(ENTRIES) {
            driver.memory.write_obj(head, GuestAddress(available + 4 + slot * 2)).expect("in memory");
        }
        driver.memory.write_obj(count, GuestAddress(available + 2)).expect("in memory");
        driver.turn(queue);
        recovers(&mut driver, features, "a lie about the ring");
    }
    // Rings outside of the memory, at its edge, and where they wrap around.
    for places in [[MEMORY_BYTES; 3], [MEMORY_BYTES - 16; 3], [!0xfff; 3], [QUEUES, MEMORY_BYTES, QUEUES]] {
        let mut driver = Driver::of(make());
        driver.set(register::STATUS, status::ACKNOWLEDGE | status::DRIVER);
        driver.set(register::DRIVER_FEATURES_SELECT, 1);
        driver.set(register::DRIVER_FEATURES, (VERSION_1 >> 32) as u32);
        let before = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK;
        driver.set(register::STATUS, before);
        driver.set_up(queue, ENTRIES, places);
        driver.set(register::STATUS, before | status::DRIVER_OK);
        assert!(driver.is_broken(), "{places:x?}");
        driver.turn(queue);
        recovers(&mut driver, features, "rings outside of the memory");
    }
}

/// Registers in an order that no driver uses, and accesses of every width everywhere.
fn wrong_order(make: &impl Fn() -> Box<dyn Device>) {
    let mut driver = Driver::of(make());
    driver.set(register::STATUS, status::DRIVER_OK);
    assert_eq!(driver.get(register::STATUS) & status::DRIVER_OK, 0, "started without features");
    driver.set(register::DRIVER_FEATURES, u32::MAX);
    driver.set(register::STATUS, status::FEATURES_OK);
    assert_eq!(driver.get(register::STATUS) & status::FEATURES_OK, 0, "took features that were not offered");
    for offset in (0..0x200).chain([0xfff, 0x1000, u64::MAX]) {
        for width in [0, 1, 2, 3, 4, 8] {
            driver.transport.read(offset, &mut vec![0; width]);
            driver.transport.write(offset, &vec![0xff; width]);
        }
    }
    for source in 0..4 {
        driver.transport.ready(source);
    }
    for queue in [0, 1, 63, usize::MAX] {
        driver.transport.kicked(queue);
    }
}
