//! `berth vm`: virtual machines.

pub mod doctor;
pub mod kernel;

use crate::grammar::{Command, Entry};

/// `berth vm`.
pub static GROUP: Command = Command::group("Manage virtual machines", ENTRIES);

static ENTRIES: &[Entry] = &[Entry::new("doctor", &doctor::COMMAND), Entry::new("kernel", &kernel::COMMAND)];
