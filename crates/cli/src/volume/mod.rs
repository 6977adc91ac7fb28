//! Verbs of volumes.

pub mod copy;
pub mod create;
pub mod export;
pub mod import;
pub mod inspect;
pub mod ls;
pub mod prune;
pub mod rename;
pub mod rm;
pub mod update;

use crate::grammar::{Command, Entry};

/// `berth volume`.
pub static GROUP: Command = Command::group("Manage volumes", ENTRIES);

static ENTRIES: &[Entry] = &[
    Entry::new("clone", &copy::CLONE),
    Entry::new("create", &create::COMMAND),
    Entry::new("export", &export::COMMAND),
    Entry::new("import", &import::COMMAND),
    Entry::new("inspect", &inspect::COMMAND),
    Entry::new("ls", &ls::COMMAND).aliases(&["list"]),
    Entry::new("prune", &prune::COMMAND),
    Entry::new("rename", &rename::COMMAND),
    Entry::new("rm", &rm::COMMAND).aliases(&["remove"]),
    Entry::new("snapshot", &copy::SNAPSHOT),
    Entry::new("update", &update::COMMAND),
];
