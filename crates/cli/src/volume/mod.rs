//! Verbs of volumes.

pub mod create;
pub mod inspect;
pub mod ls;
pub mod prune;
pub mod rm;
pub mod update;

use crate::grammar::{Command, Entry};

/// `berth volume`.
pub static GROUP: Command = Command::group("Manage volumes", ENTRIES);

static ENTRIES: &[Entry] = &[
    Entry::new("create", &create::COMMAND),
    Entry::new("inspect", &inspect::COMMAND),
    Entry::new("ls", &ls::COMMAND).aliases(&["list"]),
    Entry::new("prune", &prune::COMMAND),
    Entry::new("rm", &rm::COMMAND).aliases(&["remove"]),
    Entry::new("update", &update::COMMAND),
];
