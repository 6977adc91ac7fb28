//! Verbs of the daemon as a whole.

pub mod df;
pub mod events;
pub mod fsck;
pub mod info;
pub mod inspect;
pub mod login;
pub mod logout;
pub mod prune;
pub mod search;
pub mod version;

use crate::grammar::{Command, Entry};

/// `berth system`.
pub static GROUP: Command = Command::group("Manage berth", ENTRIES);

static ENTRIES: &[Entry] = &[
    Entry::new("df", &df::COMMAND),
    Entry::new("events", &events::COMMAND),
    Entry::new("fsck", &fsck::COMMAND),
    Entry::new("info", &info::COMMAND),
    Entry::new("prune", &prune::COMMAND),
];
