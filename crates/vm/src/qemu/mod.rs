//! QEMU as the monitor: its command line, and what runs beside it.

mod command;

pub use command::{Machine, arguments};
