//! The top of the command line: global flags, all commands, the help that names them.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Entry, Flag, PROGRAM, generate, help};
use crate::{build, builder, container, image, manifest, network, system, vm, volume};
use std::path::Path;

static FLAGS: &[Flag] = &[
    Flag::text("config", "Location of client config files (default \"~/.docker\")"),
    Flag::text("context", "Accepted for Docker's sake; berth has no contexts").short('c').hidden(),
    Flag::switch("debug", "Enable debug mode").short('D'),
    Flag::list("host", "Daemon socket to connect to").short('H'),
    Flag::text("log-level", "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")")
        .short('l')
        .default("info"),
    Flag::switch("tls", "Use TLS; implied by --tlsverify"),
    Flag::text("tlscacert", "Trust certs signed only by this CA (default \"~/.docker/ca.pem\")"),
    Flag::text("tlscert", "Path to TLS certificate file (default \"~/.docker/cert.pem\")"),
    Flag::text("tlskey", "Path to TLS key file (default \"~/.docker/key.pem\")"),
    Flag::switch("tlsverify", "Use TLS and verify the remote"),
    Flag::switch("version", "Print version information and quit").short('v'),
];

/// The whole command line.
pub static ROOT: Command = Command {
    usage: "[OPTIONS] COMMAND",
    about: "A container engine with a hypervisor in it",
    details: "",
    arity: Arity::AtLeast(0),
    flags: &[FLAGS],
    flags_first: true,
    paths: &[],
    run: None,
    entries: ENTRIES,
};

static COMPLETION: Command =
    Command::verb("bash|zsh|fish", "Write the completion script of a shell to stdout", Arity::Exactly(1), |call| {
        Box::pin(completion(call))
    });
static MAN: Command =
    Command::verb("DIRECTORY", "Write the man pages into a directory", Arity::Exactly(1), |call| Box::pin(man(call)));

/// Only for help: the program's entry looks for this word before the client is called.
static DAEMON: Command =
    Command::verb("[OPTIONS]", "Run the daemon (see 'berth daemon --help')", Arity::AtLeast(0), |_| {
        Box::pin(async { Err(Failure::new("berth: 'daemon' must be the first word: berth daemon [OPTIONS]")) })
    })
    .flags_first();

/// Only for help, as with the daemon.
static REGISTRY: Command = Command::verb(
    "COMMAND",
    "Serve and look after a registry (see 'berth registry --help')",
    Arity::AtLeast(0),
    |_| Box::pin(async { Err(Failure::new("berth: 'registry' must be the first word: berth registry COMMAND")) }),
)
.flags_first();

static ENTRIES: &[Entry] = &[
    Entry::new("attach", &container::attach::COMMAND),
    Entry::new("build", &build::COMMAND),
    Entry::new("builder", &builder::GROUP),
    Entry::new("commit", &container::commit::COMMAND),
    Entry::new("completion", &COMPLETION),
    Entry::new("container", &container::GROUP),
    Entry::new("cp", &container::cp::COMMAND),
    Entry::new("create", &container::create::COMMAND),
    Entry::new("daemon", &DAEMON),
    Entry::new("diff", &container::diff::COMMAND),
    Entry::new("events", &system::events::COMMAND),
    Entry::new("exec", &container::exec::COMMAND),
    Entry::new("export", &container::export::COMMAND),
    Entry::new("fsck", &system::fsck::COMMAND),
    Entry::new("history", &image::history::COMMAND),
    Entry::new("image", &image::GROUP),
    Entry::new("images", &image::ls::COMMAND),
    Entry::new("import", &image::import::COMMAND),
    Entry::new("info", &system::info::COMMAND),
    Entry::new("inspect", &system::inspect::COMMAND),
    Entry::new("kill", &container::kill::COMMAND),
    Entry::new("load", &image::load::COMMAND),
    Entry::new("login", &system::login::COMMAND),
    Entry::new("logout", &system::logout::COMMAND),
    Entry::new("logs", &container::logs::COMMAND),
    Entry::new("man", &MAN),
    Entry::new("manifest", &manifest::GROUP),
    Entry::new("network", &network::GROUP),
    Entry::new("pause", &container::pause::COMMAND),
    Entry::new("port", &container::port::COMMAND),
    Entry::new("ps", &container::ps::COMMAND),
    Entry::new("pull", &image::pull::COMMAND),
    Entry::new("push", &image::push::COMMAND),
    Entry::new("registry", &REGISTRY),
    Entry::new("rename", &container::rename::COMMAND),
    Entry::new("restart", &container::restart::COMMAND),
    Entry::new("rm", &container::rm::COMMAND),
    Entry::new("rmi", &image::rm::COMMAND),
    Entry::new("run", &container::run::COMMAND),
    Entry::new("save", &image::save::COMMAND),
    Entry::new("search", &system::search::COMMAND),
    Entry::new("start", &container::start::COMMAND),
    Entry::new("stats", &container::stats::COMMAND),
    Entry::new("stop", &container::stop::COMMAND),
    Entry::new("system", &system::GROUP),
    Entry::new("tag", &image::tag::COMMAND),
    Entry::new("top", &container::top::COMMAND),
    Entry::new("unpause", &container::unpause::COMMAND),
    Entry::new("update", &container::update::COMMAND),
    Entry::new("version", &system::version::COMMAND),
    Entry::new("vm", &vm::GROUP),
    Entry::new("volume", &volume::GROUP),
    Entry::new("wait", &container::wait::COMMAND),
];

const COMMON: &[&str] = &["run", "exec", "ps", "pull", "images", "version", "info"];

/// The help of the whole program, for `width` columns.
#[must_use]
pub fn text(width: usize) -> String {
    let group = |name: &str| ROOT.entry(name).is_some_and(|e| e.command.run.is_none());
    format!(
        "Usage:  {PROGRAM} [OPTIONS] COMMAND\n\n{}\n\nCommon Commands:\n{}\nManagement Commands:\n{}\nCommands:\n{}\n\
         Global Options:\n{}\nRun '{PROGRAM} COMMAND --help' for more information on a command.\n",
        ROOT.about,
        help::entries(&ROOT, |name| COMMON.contains(&name)),
        help::entries(&ROOT, group),
        help::entries(&ROOT, |name| !COMMON.contains(&name) && !group(name)),
        help::options(&ROOT, width),
    )
}

async fn completion(call: Call) -> Outcome {
    generate::completion(&ROOT, &call.args[0], &mut std::io::stdout().lock()).map_err(Failure::new)?;
    Ok(0)
}

async fn man(call: Call) -> Outcome {
    let count = generate::man(&ROOT, Path::new(&call.args[0])).map_err(Failure::new)?;
    crate::complain!("{count} pages written to {}", call.args[0]);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command, with the path to it.
    fn all(command: &'static Command, path: &str, found: &mut Vec<(String, &'static Command)>) {
        found.push((path.to_owned(), command));
        for entry in command.entries {
            all(entry.command, &format!("{path} {}", entry.name), found);
        }
    }

    #[test]
    fn tables_are_sound() {
        let mut commands = Vec::new();
        all(&ROOT, PROGRAM, &mut commands);
        assert!(commands.len() > 60);
        for (path, command) in commands {
            let flags: Vec<_> = command.all_flags().collect();
            for (at, flag) in flags.iter().enumerate() {
                let rest = &flags[at + 1..];
                assert!(rest.iter().all(|f| f.long != flag.long), "{path}: --{} twice", flag.long);
                let clash = flag.short.is_some_and(|letter| rest.iter().any(|f| f.short == Some(letter)));
                assert!(!clash, "{path}: -{:?} twice", flag.short);
                assert!(flag.hidden || !flag.help.is_empty(), "{path}: --{} has no help", flag.long);
                assert!(flag.default.is_empty() || flag.check.is_none_or(|c| c(flag.default).is_ok()), "{path}");
            }
            for way in command.paths {
                let mut at = &ROOT;
                for word in way.split(' ') {
                    at = at.entry(word).unwrap_or_else(|| panic!("{way}: no {word}")).command;
                }
                assert!(std::ptr::eq(at, command), "{way}");
            }
        }
    }

    #[test]
    fn generated_texts_hold_the_flags() {
        generate::tree(&ROOT).debug_assert();
        for shell in ["bash", "zsh", "fish"] {
            let mut script = Vec::new();
            generate::completion(&ROOT, shell, &mut script).unwrap();
            assert!(String::from_utf8(script).unwrap().contains("memory-swappiness"), "{shell}");
        }
        let directory = tempfile::tempdir().unwrap();
        assert!(generate::man(&ROOT, directory.path()).unwrap() > 60);
        let page = std::fs::read_to_string(directory.path().join("berth-container-run.1")).unwrap();
        assert!(page.contains("publish"));
    }

    #[test]
    fn helps() {
        insta::assert_snapshot!(text(help::WIDTH_DEFAULT));
        insta::assert_snapshot!(help::text(&container::ps::COMMAND, "berth ps", help::WIDTH_DEFAULT));
        insta::assert_snapshot!(help::text(&container::GROUP, "berth container", help::WIDTH_DEFAULT));
    }
}
