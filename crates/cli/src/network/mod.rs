//! Verbs of networks.

pub mod connect;
pub mod create;
pub mod disconnect;
pub mod inspect;
pub mod ipam;
pub mod ls;
pub mod prune;
pub mod rm;

use crate::grammar::{Command, Entry};

/// `berth network`.
pub static GROUP: Command = Command::group("Manage networks", ENTRIES);

static ENTRIES: &[Entry] = &[
    Entry::new("connect", &connect::COMMAND),
    Entry::new("create", &create::COMMAND),
    Entry::new("disconnect", &disconnect::COMMAND),
    Entry::new("inspect", &inspect::COMMAND),
    Entry::new("ls", &ls::COMMAND).aliases(&["list"]),
    Entry::new("prune", &prune::COMMAND),
    Entry::new("rm", &rm::COMMAND).aliases(&["remove"]),
];
