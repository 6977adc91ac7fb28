//! A 16550A serial port: the guest's kernel log. What is written to it goes to the monitor's output.

use std::io::Write;

use serde::{Deserialize, Serialize};
use vm_superio::{
    Trigger,
    serial::{NoEvents, SerialState},
};
use vmm_sys_util::eventfd::EventFd;

/// An interrupt line.
pub struct Line(EventFd);

impl Trigger for Line {
    type E = std::io::Error;

    fn trigger(&self) -> Result<(), Self::E> {
        self.0.write(1)
    }
}

/// See the module.
pub struct Serial {
    port: vm_superio::Serial<Line, NoEvents, Box<dyn Write + Send>>,
}

/// Its registers, as a snapshot has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registers {
    divisor: [u8; 2],
    interrupt_enable: u8,
    interrupt_identification: u8,
    line_control: u8,
    line_status: u8,
    modem_control: u8,
    modem_status: u8,
    scratch: u8,
}

impl Serial {
    /// A port that interrupts by `interrupt` and writes to `output`.
    pub fn new(interrupt: EventFd, output: Box<dyn Write + Send>) -> Self {
        Self { port: vm_superio::Serial::new(Line(interrupt), output) }
    }

    /// Reads a register.
    pub fn read(&mut self, offset: u8) -> u8 {
        self.port.read(offset)
    }

    /// Writes a register. Bytes that the output does not take are lost, as on a cable that nobody reads.
    pub fn write(&mut self, offset: u8, value: u8) {
        let _ = self.port.write(offset, value);
    }

    /// The registers.
    pub fn save(&self) -> Registers {
        let state = self.port.state();
        Registers {
            divisor: [state.baud_divisor_low, state.baud_divisor_high],
            interrupt_enable: state.interrupt_enable,
            interrupt_identification: state.interrupt_identification,
            line_control: state.line_control,
            line_status: state.line_status,
            modem_control: state.modem_control,
            modem_status: state.modem_status,
            scratch: state.scratch,
        }
    }

    /// The port with other registers, interrupt and output kept. `None` when they are impossible.
    pub fn restore(self, registers: &Registers) -> Option<Self> {
        let state = SerialState {
            baud_divisor_low: registers.divisor[0],
            baud_divisor_high: registers.divisor[1],
            interrupt_enable: registers.interrupt_enable,
            interrupt_identification: registers.interrupt_identification,
            line_control: registers.line_control,
            line_status: registers.line_status,
            modem_control: registers.modem_control,
            modem_status: registers.modem_status,
            scratch: registers.scratch,
            in_buffer: Vec::new(),
        };
        let interrupt = Line(self.port.interrupt_evt().0.try_clone().ok()?);
        let output = self.port.into_writer();
        vm_superio::Serial::from_state(&state, interrupt, NoEvents, output).ok().map(|port| Self { port })
    }
}
