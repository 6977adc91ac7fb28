//! Devices of the machine monitor against a driver that does anything: the first byte chooses the device.
#![no_main]

use berth_vmm::virtio::hostile::{Driver, specimen};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, steps)) = data.split_first() else { return };
    let specimen = specimen(usize::from(*kind));
    let mut driver = Driver::of(specimen.device);
    driver.chaos(specimen.features, steps);
});
