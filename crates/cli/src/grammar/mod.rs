//! The grammar of the command line: one table of commands and flags, and what is made from it.
//!
//! A [`Command`] is a constant in the file of its verb. Reading arguments ([`parse`]), usage texts ([`help`]), man
//! pages and completions ([`generate`]) all come from that constant, so they cannot disagree. Nothing is built at
//! start: a `run` looks at its own table and at no other.

pub mod command;
pub mod flag;
pub mod generate;
pub mod help;
pub mod number;
pub mod parse;

pub use command::{Arity, Command, Entry};
pub use flag::Flag;
pub use parse::Flags;

/// The program's name in every text.
pub const PROGRAM: &str = "berth";
