//! Verbs of images.

pub mod copy;
pub mod history;
pub mod import;
pub mod inspect;
pub mod load;
pub mod ls;
pub mod name;
pub mod prune;
pub mod pull;
pub mod push;
pub mod rm;
pub mod save;
pub mod squash;
pub mod tag;
pub mod tree;

use crate::grammar::{Command, Entry};

/// `berth image`.
pub static GROUP: Command = Command::group("Manage images", ENTRIES);

static ENTRIES: &[Entry] = &[
    Entry::new("build", &crate::build::COMMAND),
    Entry::new("copy", &copy::COMMAND),
    Entry::new("history", &history::COMMAND),
    Entry::new("import", &import::COMMAND),
    Entry::new("inspect", &inspect::COMMAND),
    Entry::new("load", &load::COMMAND),
    Entry::new("ls", &ls::COMMAND).aliases(&["list"]),
    Entry::new("prune", &prune::COMMAND),
    Entry::new("pull", &pull::COMMAND),
    Entry::new("push", &push::COMMAND),
    Entry::new("rm", &rm::COMMAND).aliases(&["remove"]),
    Entry::new("save", &save::COMMAND),
    Entry::new("squash", &squash::COMMAND),
    Entry::new("tag", &tag::COMMAND),
];
