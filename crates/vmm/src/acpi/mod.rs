//! Firmware tables by which the guest finds processors, interrupts and devices (ACPI 6.5, chapter 5).
//!
//! ```text
//! RSDP ─► XSDT ─► FADT ─► DSDT   devices, in AML
//!              └► MADT           processors, interrupt controllers
//! ```
//!
//! The platform is "hardware-reduced" (5.2.9): no PIT, PIC, power management timer or SCI; reset and power-off are
//! registers of their own.

mod aml;
mod dsdt;
mod table;

use vm_memory::{Bytes as _, GuestAddress};

use crate::{Error, Result, layout, memory::Memory};

/// I/O port of the registers that reset the machine and put it to sleep (4.8.3.6, 4.8.3.7).
pub const POWER_PORT: u16 = 0x600;
/// Written there, it resets.
pub const RESET_VALUE: u8 = 1;
/// Type of the sleep state S5, "soft off", in the sleep control register.
pub const SOFT_OFF: u8 = 5;

/// Writes the tables of a machine with `vcpus` processors and `devices` virtio devices.
///
/// # Errors
/// [`Error::Memory`].
pub fn write(memory: &Memory, vcpus: u32, devices: usize) -> Result<()> {
    let mut place = Place { memory, next: layout::ACPI + table::RSDP_BYTES as u64 };
    let dsdt = place.put(&dsdt::table(devices))?;
    let fadt = place.put(&table::fadt(dsdt))?;
    let madt = place.put(&table::madt(vcpus))?;
    let xsdt = place.put(&table::xsdt(&[fadt, madt]))?;
    place.at(layout::ACPI, &table::rsdp(xsdt))
}

struct Place<'a> {
    memory: &'a Memory,
    next: u64,
}

impl Place<'_> {
    fn put(&mut self, table: &[u8]) -> Result<u64> {
        let at = self.next.next_multiple_of(16);
        self.next = at + table.len() as u64;
        if self.next > layout::ACPI + layout::ACPI_BYTES {
            return Err(Error::Memory("the firmware tables do not fit".to_owned()));
        }
        self.at(at, table).map(|()| at)
    }

    fn at(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.memory.write_slice(bytes, GuestAddress(at)).map_err(Error::memory)
    }
}
