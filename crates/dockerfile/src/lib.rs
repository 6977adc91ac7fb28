//! The Dockerfile language: parsed, expanded and checked, and the patterns of .dockerignore.
//!
//! ```
//! use berth_dockerfile::{Command, parse};
//!
//! let text = "FROM debian AS base\nRUN --mount=type=cache,target=/c apt-get update\n";
//! let file = parse(text).unwrap_or_else(|faults| panic!("{}", faults[0].render("Dockerfile", text)));
//! assert_eq!(file.target(None).map(|stage| stage.index), Some(0));
//! let Command::Run(run) = &file.stages[0].instructions[0].command else { panic!("not a RUN") };
//! assert_eq!(run.mounts.len(), 1);
//! ```
//!
//! - [`parse`] gives stages and instructions with places, or all errors; [`parse_trigger`] reads one `ONBUILD` trigger.
//! - Words stay as written. [`Scope`] knows which values hold where (global, platform and build arguments, `ENV`),
//!   and [`expand::word`] makes a value of a word with them.
//! - [`Run::script`] is what a `RUN` executes; [`MountFlag::resolve`] reads a `--mount` with its values.
//! - [`Ignore`] answers for the paths of a context.

pub mod diagnostic;
mod directive;
mod error;
pub mod expand;
mod heredoc;
pub mod ignore;
mod instruction;
pub mod limit;
mod line;
pub mod lint;
mod mount;
mod parse;
pub mod scope;
pub mod span;
mod word;

pub use diagnostic::{Diagnostic, Severity};
pub use directive::{Check, Directives};
pub use error::Error;
pub use heredoc::Heredoc;
pub use ignore::Ignore;
pub use instruction::{
    Add, Arg, Command, Copy, Device, Dockerfile, Form, From, Healthcheck, Instruction, Network, Onbuild, Pair, Probe,
    Run, Script, Security, Source, Stage,
};
pub use mount::{Kind as MountKind, Mount, MountFlag, Sharing};
pub use parse::{decode, parse, parse_bytes, parse_trigger};
pub use scope::Scope;
pub use span::{Position, Span, Spanned};
