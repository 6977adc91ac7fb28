//! The command line: `berth registry serve|user|gc|ls|stats|scrub`.

mod account;
mod look;
mod parse;
mod serve;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::Result;

/// Where a registry is kept when nothing else is said.
pub const ROOT: &str = "/var/lib/berth/registry";

/// An OCI registry and pull-through mirror
#[derive(Debug, Parser)]
#[command(name = "berth registry", bin_name = "berth registry", disable_help_subcommand = true)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve until stopped
    Serve(Box<serve::Flags>),
    /// Manage accounts and their roles
    #[command(subcommand)]
    User(account::Verb),
    /// Remove what nobody refers to; a registry that runs goes on meanwhile
    Gc(look::Gc),
    /// List repositories, or the tags of one
    Ls(look::Ls),
    /// Show sums and sizes
    Stats(look::Stats),
    /// Read everything again, and put aside what is broken
    Scrub(look::Scrub),
}

#[derive(Debug, Args)]
struct Place {
    /// Directory of the registry
    #[arg(long, value_name = "DIR", default_value = ROOT)]
    root: PathBuf,
}

/// Runs the command whose arguments, without `berth registry`, are given.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let words = std::iter::once(OsString::from("berth registry")).chain(arguments);
    let command = match Command::try_parse_from(words) {
        Ok(command) => command,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 125 } else { 0 });
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.to_string()),
    };
    match runtime.block_on(run(command.verb)) {
        Ok(code) => code,
        Err(error) => complain(&error.to_string()),
    }
}

fn complain(text: &str) -> ExitCode {
    eprintln!("berth registry: {text}");
    ExitCode::FAILURE
}

async fn run(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Serve(flags) => serve::run(*flags).await.map(|()| ExitCode::SUCCESS),
        Verb::User(verb) => account::run(verb).map(|()| ExitCode::SUCCESS),
        Verb::Gc(flags) => look::gc(flags).await.map(|()| ExitCode::SUCCESS),
        Verb::Ls(flags) => look::ls(&flags).map(|()| ExitCode::SUCCESS),
        Verb::Stats(flags) => look::stats(&flags).map(|()| ExitCode::SUCCESS),
        Verb::Scrub(flags) => look::scrub(flags).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_sound() {
        super::Command::command().debug_assert();
    }
}
