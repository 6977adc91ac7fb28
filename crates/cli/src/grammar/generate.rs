//! Man pages and completions, made from the same table by way of clap's command model.

use super::{Arity, Command, Flag, PROGRAM};
use clap::{Arg, ArgAction};
use std::io::Write;
use std::path::Path;

/// The whole command line as clap sees it.
#[must_use]
pub fn tree(root: &'static Command) -> clap::Command {
    build(PROGRAM, root).version(env!("CARGO_PKG_VERSION"))
}

fn build(name: &'static str, command: &'static Command) -> clap::Command {
    let mut built = clap::Command::new(name).about(command.about).disable_help_subcommand(true);
    built = built.disable_help_flag(true).disable_version_flag(true);
    if !command.details.is_empty() {
        built = built.long_about(format!("{}\n\n{}", command.about, command.details));
    }
    for flag in command.all_flags() {
        built = built.arg(argument(flag));
    }
    if !command.all_flags().any(|f| f.long == "help") {
        built = built.arg(Arg::new("help").long("help").help("Print usage").action(ArgAction::SetTrue));
    }
    if command.run.is_some() && command.arity != Arity::None {
        let words = command.usage.lines().next().unwrap_or("").trim_start_matches("[OPTIONS]").trim();
        if !words.is_empty() {
            built = built.arg(Arg::new("arguments").value_name(words).num_args(0..).trailing_var_arg(true));
        }
    }
    for entry in command.entries.iter().filter(|e| !e.hidden) {
        built = built.subcommand(build(entry.name, entry.command).visible_aliases(entry.aliases));
    }
    built
}

fn argument(flag: &'static Flag) -> Arg {
    let mut arg = Arg::new(flag.long).long(flag.long).help(flag.help).hide(flag.hidden);
    if let Some(letter) = flag.short {
        arg = arg.short(letter);
    }
    if flag.is_switch() {
        return arg.action(ArgAction::SetTrue);
    }
    if !flag.default.is_empty() {
        arg = arg.default_value(flag.default);
    }
    let arg = match flag.long {
        "output" | "input" | "cidfile" | "env-file" | "label-file" | "config" => {
            arg.value_hint(clap::ValueHint::FilePath)
        }
        _ => arg,
    };
    arg.value_name(flag.value).action(if flag.many { ArgAction::Append } else { ArgAction::Set })
}

/// Writes the completion script for `shell` (`bash`, `zsh` or `fish`).
///
/// # Errors
/// The text for the user when the shell is not known.
pub fn completion(root: &'static Command, shell: &str, out: &mut dyn Write) -> Result<(), String> {
    use clap_complete::Shell;
    let shell = match shell {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        other => return Err(format!("unknown shell {other:?}: must be one of \"bash\", \"zsh\", \"fish\"")),
    };
    clap_complete::generate(shell, &mut tree(root), PROGRAM, out);
    Ok(())
}

/// Writes a man page for every command into `directory`; returns how many.
///
/// # Errors
/// The text for the user, naming the file.
pub fn man(root: &'static Command, directory: &Path) -> Result<usize, String> {
    std::fs::create_dir_all(directory).map_err(|e| format!("create {}: {e}", directory.display()))?;
    page(&tree(root), PROGRAM, directory)
}

fn page(command: &clap::Command, name: &str, directory: &Path) -> Result<usize, String> {
    let file = directory.join(format!("{name}.1"));
    let write = || -> std::io::Result<()> {
        let mut bytes = Vec::new();
        clap_mangen::Man::new(command.clone().name(name.to_owned())).render(&mut bytes)?;
        std::fs::write(&file, bytes)
    };
    write().map_err(|e| format!("write {}: {e}", file.display()))?;
    let mut count = 1;
    for sub in command.get_subcommands() {
        count += page(sub, &format!("{name}-{}", sub.get_name()), directory)?;
    }
    Ok(count)
}
