//! The command line: Docker's grammar, tables, texts and exit codes over the Engine API.
//!
//! [`main`] finds the command in a static table, reads the arguments by that command's own flags, and runs its verb on a
//! single-threaded runtime. Nothing else is built: no tree of commands, no TLS, no thread.

pub mod archive;
pub mod build;
pub mod builder;
pub mod call;
pub mod config;
pub mod container;
pub mod credential;
pub mod endpoint;
pub mod format;
pub mod format_flag;
pub mod grammar;
pub mod image;
pub mod manifest;
pub mod network;
pub mod option;
pub mod output;
pub mod point;
pub mod print;
pub mod progress;
pub mod prompt;
pub mod root;
pub mod system;
pub mod terminal;
pub mod text;
pub mod vm;
pub mod volume;

use call::{Call, Failure, Outcome};
use config::Config;
use grammar::parse::{Parsed, parse};
use grammar::{Command, Flags, PROGRAM, help};
use root::ROOT;
use std::cell::OnceCell;
use std::ffi::OsString;
use std::process::ExitCode;

/// Exit code of a command line that cannot be read.
const USAGE: u8 = 125;

/// Runs the command line `args`, the program's name not among them.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    let code = match words(args).and_then(dispatch) {
        Ok(code) => code,
        Err(failure) => {
            if !failure.text.is_empty() {
                crate::complain!("{}", failure.text);
            }
            failure.code
        }
    };
    ExitCode::from(code)
}

/// The arguments as text.
fn words(args: Vec<OsString>) -> Result<Vec<String>, Failure> {
    let text = |arg: OsString| {
        arg.into_string()
            .map_err(|arg| Failure { text: format!("{PROGRAM}: argument {arg:?} is not UTF-8"), code: USAGE })
    };
    args.into_iter().map(text).collect()
}

fn dispatch(words: Vec<String>) -> Outcome {
    let (global, mut rest) = match read(&ROOT, PROGRAM, words)? {
        Parsed::Line(global, rest) => (global, rest),
        Parsed::Help => return show(&root::text(help::width())),
    };
    if global.on("version") {
        return show(&format!("berth version {}\n", env!("CARGO_PKG_VERSION")));
    }
    let asked_help = rest.first().is_some_and(|word| word == "help");
    if asked_help {
        rest.remove(0);
    }
    let (mut command, mut path) = (&ROOT, PROGRAM.to_owned());
    while command.run.is_none() {
        let Some(word) = rest.first() else {
            return show(&if std::ptr::eq(command, &ROOT) {
                root::text(help::width())
            } else {
                help::text(command, &path, help::width())
            });
        };
        if matches!(word.as_str(), "--help" | "-h") {
            return show(&help::text(command, &path, help::width()));
        }
        let Some(entry) = command.entry(word) else { return Err(unknown(command, &path, word)) };
        path = format!("{path} {word}");
        command = entry.command;
        rest.remove(0);
    }
    if asked_help {
        return show(&help::text(command, &path, help::width()));
    }
    match read(command, &path, rest)? {
        Parsed::Help => show(&help::text(command, &path, help::width())),
        Parsed::Line(flags, _) if flags.on("help") => show(&help::text(command, &path, help::width())),
        Parsed::Line(flags, args) => {
            command.check_arity(&path, args.len()).map_err(Failure::new)?;
            run(command, path, flags, args, global)
        }
    }
}

fn read(command: &Command, path: &str, words: Vec<String>) -> Result<Parsed, Failure> {
    parse(command, words).map_err(|why| {
        let usage = help::usage_line(command, path);
        Failure { text: format!("{why}\n\n{usage}\n\nRun '{path} --help' for more information"), code: USAGE }
    })
}

fn unknown(command: &Command, path: &str, word: &str) -> Failure {
    if word.starts_with('-') {
        let usage = help::usage_line(command, path);
        let name = word.trim_start_matches('-').split('=').next().unwrap_or("");
        let why = match word.starts_with("--") {
            true => format!("unknown flag: --{name}"),
            false => format!("unknown shorthand flag: '{}' in {word}", name.chars().next().unwrap_or('-')),
        };
        return Failure { text: format!("{why}\n\n{usage}\n\nRun '{path} --help' for more information"), code: USAGE };
    }
    let usage = if std::ptr::eq(command, &ROOT) { String::new() } else { format!("Usage:  {path}\n\n") };
    Failure::new(format!(
        "{PROGRAM}: unknown command: {path} {word}\n\n{usage}Run '{path} --help' for more information"
    ))
}

fn show(text: &str) -> Outcome {
    use std::io::Write;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}

fn run(command: &Command, path: String, flags: Flags, args: Vec<String>, global: Flags) -> Outcome {
    let Some(action) = command.run else { return show(&help::text(command, &path, help::width())) };
    let config = Config::in_directory(global.text("config"));
    let call = Call { path, flags, args, global, config, client: OnceCell::new() };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("cannot start the runtime: {e}")))?;
    let outcome = runtime.block_on(action(call));
    // A thread may still wait for the terminal: it ends with the process.
    runtime.shutdown_background();
    outcome
}
