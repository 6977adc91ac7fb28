//! The few devices of a PC that kernels still expect at fixed I/O ports, fully emulated.
//!
//! | port | device |
//! |---|---|
//! | 0x3f8-0x3ff | a serial port, which is written only |
//! | 0x60, 0x64 | a keyboard controller, of which only the reset line exists |
//! | 0x70, 0x71 | a clock in CMOS, which reads zero: nothing is being updated |
//! | 0x600, 0x601 | ACPI's reset, sleep control and sleep status |
//!
//! Everything else reads as all ones, as an empty bus does.

mod power;
mod serial;

use std::io::Write;

use vmm_sys_util::eventfd::EventFd;

pub use power::{End, Outcome};
pub use serial::Registers;

use self::serial::Serial;
use crate::{Error, Result};

/// First port of the serial port.
pub const SERIAL_PORT: u16 = 0x3f8;
/// Its interrupt.
pub const SERIAL_GSI: u32 = 4;
const KEYBOARD_DATA: u16 = 0x60;
const KEYBOARD_COMMAND: u16 = 0x64;
/// "Pulse output line 0", which is the processor's reset.
const KEYBOARD_RESET: u8 = 0xfe;

/// See the module.
pub struct Legacy {
    /// Absent for a moment only, while its registers are replaced.
    serial: Option<Serial>,
    end: End,
}

impl Legacy {
    /// Devices whose serial output goes to `output`.
    pub fn new(interrupt: EventFd, output: Box<dyn Write + Send>, end: End) -> Self {
        Self { serial: Some(Serial::new(interrupt, output)), end }
    }

    /// An access of one byte; wider ones are several.
    pub fn read(&mut self, port: u16) -> u8 {
        match port {
            SERIAL_PORT..=0x3ff => self.serial.as_mut().map_or(0xff, |serial| serial.read((port - SERIAL_PORT) as u8)),
            KEYBOARD_DATA | KEYBOARD_COMMAND | 0x70 | 0x71 => 0,
            crate::acpi::POWER_PORT..=0x601 => 0,
            _ => 0xff,
        }
    }

    /// An access of one byte; wider ones are several.
    pub fn write(&mut self, port: u16, value: u8) {
        match (port, value) {
            (SERIAL_PORT..=0x3ff, _) => {
                if let Some(serial) = &mut self.serial {
                    serial.write((port - SERIAL_PORT) as u8, value);
                }
            }
            (KEYBOARD_COMMAND, KEYBOARD_RESET) => self.end.tell(Outcome::Reset),
            (crate::acpi::POWER_PORT, _) => self.end.tell_power(value),
            _ => {}
        }
    }

    /// The serial port's registers, which are part of a snapshot.
    pub fn save_serial(&self) -> Registers {
        self.serial.as_ref().map(Serial::save).unwrap_or_default()
    }

    /// Gives the serial port the registers of a snapshot.
    ///
    /// # Errors
    /// [`Error::Snapshot`] for registers that cannot be.
    pub fn restore_serial(&mut self, registers: &Registers) -> Result<()> {
        self.serial = self.serial.take().and_then(|serial| serial.restore(registers));
        if self.serial.is_some() { Ok(()) } else { Err(Error::Snapshot("the serial port's registers".to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legacy() -> (Legacy, End) {
        let end = End::new().expect("end");
        (Legacy::new(EventFd::new(0).expect("event"), Box::new(std::io::sink()), end.clone()), end)
    }

    #[test]
    fn each_way_to_end_is_told_apart() {
        for (port, value, expected) in [
            (0x64, 0xfe, Some(Outcome::Reset)),
            (0x600, 1, Some(Outcome::Reset)),
            (0x600, 5 << 2 | 1 << 5, Some(Outcome::PowerOff)),
            (0x600, 3 << 2 | 1 << 5, None),
            (0x64, 0xd1, None),
        ] {
            let (mut legacy, end) = legacy();
            legacy.write(port, value);
            assert_eq!(end.told(), expected, "{value:#x} to {port:#x}");
        }
    }

    #[test]
    fn an_empty_bus_reads_as_ones_and_no_port_hangs_a_kernel() {
        let (mut legacy, _) = legacy();
        for port in 0..=u16::MAX {
            let value = legacy.read(port);
            let known = matches!(port, 0x60 | 0x64 | 0x70 | 0x71 | 0x3f8..=0x3ff | 0x600 | 0x601);
            assert!(known || value == 0xff, "{port:#x}");
        }
        assert_eq!(legacy.read(0x3fd) & 0x60, 0x60, "the transmitter is empty");
    }
}
