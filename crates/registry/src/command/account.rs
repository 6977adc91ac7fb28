//! `user`: accounts, robots and roles, in the ledger itself: a registry that runs sees them at once.

use std::io::{BufRead, IsTerminal, Write};

use clap::{Args, Subcommand};

use super::Place;
use crate::{
    Error, Result,
    access::{password, role::Actions},
    ledger::{
        Ledger,
        account::{self, Account, Role},
    },
    registry::ledger_path,
    store::files::make_dir,
};

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Add an account; its password comes from standard input
    Add(Add),
    /// Remove accounts, their roles, and what was granted by tokens
    Rm(Rm),
    /// List accounts and their roles
    Ls(Ls),
    /// Change a password, or a robot's secret
    Passwd(Named),
    /// Set what an account may do in the repositories that fit a pattern; without ACTIONS the role is removed
    Role(RoleFlags),
}

#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    place: Place,
    /// A robot: its secret is made and printed
    #[arg(long)]
    robot: bool,
    /// A role: PATTERN:ACTIONS, such as team/**:pull,push (several)
    #[arg(long, value_name = "PATTERN:ACTIONS")]
    role: Vec<String>,
    name: String,
}

#[derive(Debug, Args)]
pub struct Rm {
    #[command(flatten)]
    place: Place,
    #[arg(required = true)]
    names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Ls {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub struct Named {
    #[command(flatten)]
    place: Place,
    name: String,
}

#[derive(Debug, Args)]
pub struct RoleFlags {
    #[command(flatten)]
    place: Place,
    /// Account, or `anonymous` for everybody
    name: String,
    /// Repositories: `*` within a component, `**` across them
    pattern: String,
    /// Words of pull, push, delete, admin, joined by commas
    #[arg(default_value = "")]
    actions: String,
}

fn open(place: &Place) -> Result<Ledger> {
    make_dir(&place.root)?;
    Ledger::open(&ledger_path(&place.root))
}

/// Letters that need no care anywhere.
fn check_name(name: &str) -> Result<()> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+@$".contains(&byte);
    let fits = !name.is_empty() && name.len() <= 128 && name.bytes().all(is_fit);
    if fits {
        return Ok(());
    }
    Err(Error::Account(format!("{name:?} is no name: expected letters, digits and . _ - + @ $")))
}

fn role(account: &str, text: &str) -> Result<Role> {
    let (pattern, actions) = text.rsplit_once(':').unwrap_or((text, "pull"));
    let actions = Actions::parse(actions).map_err(Error::Account)?;
    Ok(Role { account: account.to_owned(), pattern: pattern.to_owned(), actions: actions.to_string() })
}

fn missing(name: &str) -> Error {
    Error::Account(format!("no such account: {name}"))
}

/// Reads a line; asks for it on a terminal, without showing it.
fn read_password(name: &str) -> Result<String> {
    let failed = |source| Error::File { act: "read a password from", path: "standard input".into(), source };
    let stdin = std::io::stdin();
    let terminal = stdin.is_terminal().then(|| rustix::termios::tcgetattr(&stdin).ok()).flatten();
    if let Some(was) = &terminal {
        eprint!("Password of {name}: ");
        let _ = std::io::stderr().flush();
        let mut hidden = was.clone();
        hidden.local_modes.remove(rustix::termios::LocalModes::ECHO);
        let _ = rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Now, &hidden);
    }
    let mut line = String::new();
    let outcome = stdin.lock().read_line(&mut line);
    if let Some(was) = &terminal {
        let _ = rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Now, was);
        eprintln!();
    }
    outcome.map_err(failed)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Runs a verb.
///
/// # Errors
/// [`Error::Account`], and those of the ledger.
pub fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Add(add) => run_add(&add),
        Verb::Rm(rm) => {
            let ledger = open(&rm.place)?;
            for name in rm.names {
                let removed = name.clone();
                if !ledger.write_blocking("remove an account", move |c| account::remove(c, &removed))? {
                    return Err(missing(&name));
                }
                println!("{name}");
            }
            Ok(())
        }
        Verb::Ls(ls) => run_ls(&ls),
        Verb::Passwd(named) => {
            let ledger = open(&named.place)?;
            let name = named.name;
            let found = ledger.read("look for an account", |c| account::find(c, &name))?;
            let is_robot = found.ok_or_else(|| missing(&name))?.kind == "robot";
            let secret = if is_robot { password::generate()? } else { read_password(&name)? };
            let hash = password::hash(&secret)?;
            ledger.write_blocking("change a password", move |c| account::set_secret(c, &name, &hash))?;
            if is_robot {
                println!("{secret}");
            }
            Ok(())
        }
        Verb::Role(flags) => {
            let actions = Actions::parse(&flags.actions).map_err(Error::Account)?;
            let role = Role { account: flags.name, pattern: flags.pattern, actions: actions.to_string() };
            open(&flags.place)?.write_blocking("set a role", move |c| account::set_role(c, &role))
        }
    }
}

fn run_add(add: &Add) -> Result<()> {
    check_name(&add.name)?;
    let roles = add.role.iter().map(|text| role(&add.name, text)).collect::<Result<Vec<_>>>()?;
    let ledger = open(&add.place)?;
    let secret = if add.robot { password::generate()? } else { read_password(&add.name)? };
    let kind = if add.robot { "robot" } else { "user" };
    let account = Account { name: add.name.clone(), kind: kind.to_owned(), secret: password::hash(&secret)? };
    let is_new = ledger.write_blocking("add an account", move |c| {
        let is_new = account::add(c, &account)?;
        if is_new {
            roles.iter().try_for_each(|role| account::set_role(c, role))?;
        }
        Ok(is_new)
    })?;
    if !is_new {
        return Err(Error::Account(format!("there is an account {} already", add.name)));
    }
    println!("{}", if add.robot { &secret } else { &add.name });
    Ok(())
}

fn run_ls(ls: &Ls) -> Result<()> {
    let ledger = open(&ls.place)?;
    let accounts = ledger.read("list accounts", account::all)?;
    println!("{:<24} {:<8} ROLES", "NAME", "KIND");
    let listed = accounts.iter().map(|account| (account.name.as_str(), account.kind.as_str()));
    for (name, kind) in listed.chain([(crate::access::ANONYMOUS, "-")]) {
        let roles = ledger.read("read roles", |c| account::roles(c, name))?;
        if kind == "-" && roles.is_empty() {
            continue;
        }
        let roles: Vec<String> = roles.iter().map(|role| format!("{}:{}", role.pattern, role.actions)).collect();
        println!("{name:<24} {kind:<8} {}", roles.join(" "));
    }
    Ok(())
}
