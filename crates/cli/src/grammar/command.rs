//! A command: a verb with its flags and arguments, or a group of commands.

use super::{Flag, PROGRAM};
use crate::call::{Call, Outcome};
use std::future::Future;
use std::pin::Pin;

/// What a verb does.
pub type Action = fn(Call) -> Pin<Box<dyn Future<Output = Outcome>>>;

/// How many arguments a command takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arity {
    /// None.
    None,
    /// Exactly so many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// So many or fewer.
    AtMost(usize),
    /// From the first to the second number.
    Between(usize, usize),
}

/// A verb, or a group.
pub struct Command {
    /// What follows the path in the usage line: `[OPTIONS] IMAGE [COMMAND] [ARG...]`.
    pub usage: &'static str,
    /// One line.
    pub about: &'static str,
    /// More lines for help, or empty.
    pub details: &'static str,
    /// Arguments.
    pub arity: Arity,
    /// Flags, in tables that several commands may share.
    pub flags: &'static [&'static [Flag]],
    /// Flags end at the first argument.
    pub flags_first: bool,
    /// All paths that lead here, for help.
    pub paths: &'static [&'static str],
    /// What it does; `None` for a group.
    pub run: Option<Action>,
    /// Commands of a group.
    pub entries: &'static [Entry],
}

/// A name that leads to a command.
pub struct Entry {
    /// The name.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// Not shown in help.
    pub hidden: bool,
    /// The command.
    pub command: &'static Command,
}

impl Command {
    /// A verb without flags; the rest is filled by struct update.
    pub const fn verb(usage: &'static str, about: &'static str, arity: Arity, run: Action) -> Self {
        Self {
            usage,
            about,
            details: "",
            arity,
            flags: &[],
            flags_first: false,
            paths: &[],
            run: Some(run),
            entries: &[],
        }
    }

    /// A group of commands.
    pub const fn group(about: &'static str, entries: &'static [Entry]) -> Self {
        Self {
            usage: "COMMAND",
            about,
            details: "",
            arity: Arity::AtLeast(0),
            flags: &[],
            flags_first: true,
            paths: &[],
            run: None,
            entries,
        }
    }

    /// The same with `tables` of flags.
    pub const fn with(mut self, tables: &'static [&'static [Flag]]) -> Self {
        self.flags = tables;
        self
    }

    /// The same with the paths that lead to it.
    pub const fn at(mut self, paths: &'static [&'static str]) -> Self {
        self.paths = paths;
        self
    }

    /// The same with more lines for help.
    pub const fn details(mut self, text: &'static str) -> Self {
        self.details = text;
        self
    }

    /// The same, its flags ending at the first argument.
    pub const fn flags_first(mut self) -> Self {
        self.flags_first = true;
        self
    }

    /// All flags.
    pub fn all_flags(&self) -> impl Iterator<Item = &'static Flag> + use<> {
        self.flags.iter().flat_map(|table| table.iter())
    }

    /// The entry named `name`.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&'static Entry> {
        self.entries.iter().find(|e| e.name == name || e.aliases.contains(&name))
    }

    /// Judges the number of arguments; the error is what Docker says.
    ///
    /// # Errors
    /// The whole text for the user.
    pub fn check_arity(&self, path: &str, count: usize) -> Result<(), String> {
        let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
        let (fits, wants, lead) = match self.arity {
            Arity::None => (count == 0, "accepts no arguments".to_owned(), "Run"),
            Arity::Exactly(n) => (count == n, format!("requires {n} {}", plural(n)), "Run"),
            Arity::AtLeast(n) => (count >= n, format!("requires at least {n} {}", plural(n)), "See"),
            Arity::AtMost(n) => (count <= n, format!("requires at most {n} {}", plural(n)), "Run"),
            Arity::Between(low, high) => (
                (low..=high).contains(&count),
                format!("requires at least {low} and at most {high} {}", plural(high)),
                "Run",
            ),
        };
        if fits {
            return Ok(());
        }
        let usage = super::help::usage_line(self, path);
        Err(format!("{PROGRAM}: '{path}' {wants}\n\n{usage}\n\n{lead} '{path} --help' for more information"))
    }
}
impl Entry {
    /// A visible name of `command`.
    pub const fn new(name: &'static str, command: &'static Command) -> Self {
        Self { name, aliases: &[], hidden: false, command }
    }

    /// The same with other names.
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
}
