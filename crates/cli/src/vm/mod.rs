//! `berth vm`: virtual machines of their own, and what the host has for them.

pub mod autostart;
pub mod clone;
pub mod console;
pub mod create;
mod disk;
pub mod doctor;
pub mod edit;
pub mod export;
pub mod export_xml;
pub mod import;
pub mod import_xml;
pub mod inspect;
pub mod kernel;
pub mod ls;
mod nic;
pub mod reboot;
pub mod restore;
pub mod resume;
pub mod rm;
pub mod set;
pub mod snapshot;
pub mod start;
pub mod stop;
pub mod suspend;

use crate::grammar::{Command, Entry};

/// `berth vm`.
pub static GROUP: Command = Command::group("Manage virtual machines", ENTRIES);

static ENTRIES: &[Entry] = &[
    Entry::new("autostart", &autostart::COMMAND),
    Entry::new("clone", &clone::COMMAND),
    Entry::new("console", &console::COMMAND),
    Entry::new("create", &create::COMMAND),
    Entry::new("doctor", &doctor::COMMAND),
    Entry::new("edit", &edit::COMMAND),
    Entry::new("export", &export::COMMAND),
    Entry::new("export-xml", &export_xml::COMMAND),
    Entry::new("import", &import::COMMAND),
    Entry::new("import-xml", &import_xml::COMMAND),
    Entry::new("inspect", &inspect::COMMAND),
    Entry::new("kernel", &kernel::COMMAND),
    Entry::new("ls", &ls::COMMAND).aliases(&["list"]),
    Entry::new("reboot", &reboot::COMMAND),
    Entry::new("restore", &restore::COMMAND),
    Entry::new("resume", &resume::COMMAND),
    Entry::new("rm", &rm::COMMAND).aliases(&["remove"]),
    Entry::new("set", &set::COMMAND),
    Entry::new("snapshot", &snapshot::COMMAND),
    Entry::new("start", &start::COMMAND),
    Entry::new("stop", &stop::COMMAND),
    Entry::new("suspend", &suspend::COMMAND),
];
