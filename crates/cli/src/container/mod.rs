//! Verbs of containers.

pub mod attach;
pub mod body;
pub mod commit;
pub mod cp;
pub mod create;
pub mod diff;
pub mod exec;
pub mod export;
pub mod inspect;
pub mod join;
pub mod kill;
pub mod logs;
pub mod networks;
pub mod options;
pub mod pause;
pub mod port;
pub mod prune;
pub mod ps;
pub mod rename;
pub mod restart;
pub mod rm;
pub mod run;
pub mod start;
pub mod stats;
pub mod stop;
pub mod tables;
pub mod top;
pub mod unpause;
pub mod update;
pub mod wait;

use crate::grammar::{Command, Entry};

/// `berth container`.
pub static GROUP: Command = Command::group("Manage containers", ENTRIES);

/// Verbs of containers, as they are named in the group.
pub static ENTRIES: &[Entry] = &[
    Entry::new("attach", &attach::COMMAND),
    Entry::new("commit", &commit::COMMAND),
    Entry::new("cp", &cp::COMMAND),
    Entry::new("create", &create::COMMAND),
    Entry::new("diff", &diff::COMMAND),
    Entry::new("exec", &exec::COMMAND),
    Entry::new("export", &export::COMMAND),
    Entry::new("inspect", &inspect::COMMAND),
    Entry::new("kill", &kill::COMMAND),
    Entry::new("logs", &logs::COMMAND),
    Entry::new("ls", &ps::COMMAND).aliases(&["ps", "list"]),
    Entry::new("pause", &pause::COMMAND),
    Entry::new("port", &port::COMMAND),
    Entry::new("prune", &prune::COMMAND),
    Entry::new("rename", &rename::COMMAND),
    Entry::new("restart", &restart::COMMAND),
    Entry::new("rm", &rm::COMMAND).aliases(&["remove"]),
    Entry::new("run", &run::COMMAND),
    Entry::new("start", &start::COMMAND),
    Entry::new("stats", &stats::COMMAND),
    Entry::new("stop", &stop::COMMAND),
    Entry::new("top", &top::COMMAND),
    Entry::new("unpause", &unpause::COMMAND),
    Entry::new("update", &update::COMMAND),
    Entry::new("wait", &wait::COMMAND),
];
