//! QEMU as the monitor: its command line, and what runs beside it.

mod command;
mod qmp;

pub use command::{INTERPRETED, Machine, arguments};
pub use qmp::Qmp;
