//! `berth builder`: the cache of builds and their history.

mod du;
mod history;
mod prune;

use crate::grammar::{Command, Entry};

/// `berth builder`.
pub static GROUP: Command = Command::group("Manage builds", ENTRIES);

static ENTRIES: &[Entry] = &[
    Entry::new("build", &crate::build::COMMAND),
    Entry::new("du", &du::COMMAND),
    Entry::new("history", &history::GROUP),
    Entry::new("prune", &prune::COMMAND),
];
