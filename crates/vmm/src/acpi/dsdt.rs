//! The devices: the serial port, one entry for each virtio window, and the sleep state in which the machine is off.

use super::{SOFT_OFF, aml, table};
use crate::layout;

/// `_HID` of virtio-mmio (drivers/virtio/virtio_mmio.c).
const VIRTIO_MMIO: &str = "LNRO0005";
/// `_HID` of a 16550A, in its compressed form `PNP0501` (6.1.5).
const SERIAL: u32 = 0x0105_d041;

pub fn table(devices: usize) -> Vec<u8> {
    let mut bus = serial();
    for index in 0..devices {
        bus.extend(virtio(index));
    }
    let off = aml::package(&[aml::integer(SOFT_OFF.into()), aml::integer(0), aml::integer(0), aml::integer(0)]);
    table::system(b"DSDT", 2, &[aml::scope(b"_SB_", &bus), aml::name(b"_S5_", &off)].concat())
}

fn serial() -> Vec<u8> {
    let resources = [aml::ports(crate::legacy::SERIAL_PORT, 8), aml::interrupt(crate::legacy::SERIAL_GSI)];
    let body = [
        aml::name(b"_HID", &aml::integer(SERIAL)),
        aml::name(b"_UID", &aml::integer(0)),
        aml::name(b"_CRS", &aml::resources(&resources)),
    ];
    aml::device(b"COM1", &body.concat())
}

fn virtio(index: usize) -> Vec<u8> {
    let window = layout::virtio_window(index) as u32;
    let resources = [aml::memory32(window, layout::VIRTIO_BYTES as u32), aml::interrupt(layout::virtio_gsi(index))];
    let body = [
        aml::name(b"_HID", &aml::string(VIRTIO_MMIO)),
        aml::name(b"_UID", &aml::integer(index as u32)),
        // Devices see the processors' caches.
        aml::name(b"_CCA", &aml::integer(1)),
        aml::name(b"_CRS", &aml::resources(&resources)),
    ];
    let letters = [b'V', b'R', b'0' + (index / 10) as u8, b'0' + (index % 10) as u8];
    aml::device(&letters, &body.concat())
}
