//! The grammar of the command line: `berth runtime [GLOBAL] VERB [FLAGS] ARGUMENTS`, as Go's flag package reads it: one
//! dash or two, `--flag value` or `--flag=value`, and flags end at the first argument that is none.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// A flag of a verb.
pub struct Flag {
    /// Long name without dashes.
    pub name: &'static str,
    /// One letter, or empty.
    pub short: &'static str,
    /// Whether a value follows.
    pub takes_value: bool,
    /// One line for the help.
    pub help: &'static str,
}

/// A flag that is there or not.
pub const fn switch(name: &'static str, short: &'static str, help: &'static str) -> Flag {
    Flag { name, short, takes_value: false, help }
}

/// A flag with a value.
pub const fn value(name: &'static str, short: &'static str, help: &'static str) -> Flag {
    Flag { name, short, takes_value: true, help }
}

/// A verb.
pub struct Command {
    /// Its word.
    pub name: &'static str,
    /// What comes after the flags, for the help.
    pub arguments: &'static str,
    /// One line.
    pub about: &'static str,
    /// Its flags.
    pub flags: &'static [Flag],
    /// Least and most arguments.
    pub arity: (usize, usize),
    /// Does it, and gives the exit code.
    pub run: fn(&Call) -> Result<u8>,
}

/// Flags before the verb.
#[derive(Debug, Clone)]
pub struct Global {
    /// Where containers are kept.
    pub root: PathBuf,
    /// Where errors are told beside standard error.
    pub log: Option<PathBuf>,
    /// One JSON object a line instead of text.
    pub log_json: bool,
    /// Paths of control groups are systemd's (`slice:prefix:name`).
    pub systemd_cgroup: bool,
}

/// A parsed command line.
#[derive(Debug)]
pub struct Call {
    /// Flags before the verb.
    pub global: Global,
    flags: BTreeMap<&'static str, Vec<String>>,
    /// What follows the flags.
    pub arguments: Vec<String>,
}

impl Call {
    /// Whether a switch was given.
    pub fn has(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value != "false")
    }

    /// The last value of a flag.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.flags.get(name)?.last().map(String::as_str)
    }

    /// All values of a flag, in their order.
    pub fn all(&self, name: &str) -> &[String] {
        self.flags.get(name).map_or(&[], Vec::as_slice)
    }

    /// The last value of a flag as a number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let parse =
            |text: &str| text.parse().map_err(|_| Error::Value { flag: name.to_owned(), value: text.to_owned() });
        self.text(name).map(parse).transpose()
    }

    /// The container's id: the first argument.
    pub fn id(&self) -> &str {
        self.arguments.first().map_or("", String::as_str)
    }
}

/// What a command line asks for.
pub enum Asked {
    /// A verb.
    Call(&'static Command, Call),
    /// Help or version.
    Text(String),
}

const GLOBAL: &[Flag] = &[
    switch("debug", "", "tell more in the log"),
    value("log", "", "also write errors to this file"),
    value("log-format", "", "text or json (default: text)"),
    value(
        "root",
        "",
        "where containers are kept (default: /run/berth/runtime; without root $XDG_RUNTIME_DIR/berth/runtime)",
    ),
    value("criu", "", "accepted; criu is looked up in $PATH"),
    switch("systemd-cgroup", "", "cgroup paths are of the form slice:prefix:name"),
    value("rootless", "", "accepted; whether it is root is seen"),
    switch("help", "h", "show help"),
    switch("version", "v", "show the version"),
];

/// Reads a command line. A failure comes with what is known about where to tell it.
pub fn parse(
    commands: &'static [&'static Command],
    arguments: Vec<String>,
) -> std::result::Result<Asked, (Box<Global>, Error)> {
    let mut rest = arguments.into_iter().peekable();
    let mut global = Global {
        root: crate::rootless::root().unwrap_or_else(|| PathBuf::from("/run/berth/runtime")),
        log: None,
        log_json: false,
        systemd_cgroup: false,
    };
    let fail = |global: &Global, error| (Box::new(global.clone()), error);
    let flags = take(GLOBAL, &mut rest).map_err(|error| fail(&global, error))?;
    let last = |name: &str| flags.get(name).and_then(|values| values.last());
    if let Some(root) = last("root") {
        global.root = PathBuf::from(root);
    }
    global.log = last("log").filter(|path| !path.is_empty()).map(PathBuf::from);
    global.log_json = last("log-format").is_some_and(|format| format == "json");
    global.systemd_cgroup = last("systemd-cgroup").is_some();
    if last("version").is_some() {
        return Ok(Asked::Text(version()));
    }
    let Some(verb) = rest.next().filter(|verb| verb != "help" && last("help").is_none()) else {
        return Ok(Asked::Text(help(commands)));
    };
    let Some(command) = commands.iter().find(|command| command.name == verb) else {
        return Err(fail(&global, Error::Usage(format!("no such command: {verb}"))));
    };
    let flags = take(command.flags, &mut rest).map_err(|error| fail(&global, error))?;
    if flags.contains_key("help") {
        return Ok(Asked::Text(help_of(command)));
    }
    let call = Call { global, flags, arguments: rest.collect() };
    let (least, most) = command.arity;
    if !(least..=most).contains(&call.arguments.len()) {
        let usage = format!("{verb}: wrong number of arguments: {} {}", command.name, command.arguments);
        return Err(fail(&call.global, Error::Usage(usage)));
    }
    Ok(Asked::Call(command, call))
}

type Words = std::iter::Peekable<std::vec::IntoIter<String>>;

/// Takes flags off the front.
fn take(known: &'static [Flag], rest: &mut Words) -> Result<BTreeMap<&'static str, Vec<String>>> {
    let mut found: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    while let Some(word) = rest.next_if(|word| word.len() > 1 && word.starts_with('-')) {
        if word == "--" {
            break;
        }
        let body = word.trim_start_matches('-');
        let (name, given) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        if matches!(name, "help" | "h") {
            found.entry("help").or_default().push(String::new());
            continue;
        }
        let flag = known.iter().find(|flag| flag.name == name || (!flag.short.is_empty() && flag.short == name));
        let Some(flag) = flag else {
            return Err(Error::Usage(format!("flag provided but not defined: -{name}")));
        };
        let value = match given {
            Some(value) => value,
            None if flag.takes_value => {
                rest.next().ok_or_else(|| Error::Usage(format!("flag needs an argument: -{name}")))?
            }
            None => String::from("true"),
        };
        found.entry(flag.name).or_default().push(value);
    }
    Ok(found)
}

fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("berth-runtime version {version}\nspec: {}\n", crate::SPEC_VERSION)
}

fn help(commands: &[&Command]) -> String {
    let mut text = String::from("Usage: berth runtime [GLOBAL FLAGS] COMMAND [FLAGS] [ARGUMENTS]\n\nCommands:\n");
    for command in commands {
        text.push_str(&format!("  {:12}{}\n", command.name, command.about));
    }
    text.push_str("\nGlobal flags:\n");
    text.push_str(&lines(GLOBAL));
    text
}

fn help_of(command: &Command) -> String {
    let head = format!("Usage: berth runtime {} [FLAGS] {}\n\n{}\n", command.name, command.arguments, command.about);
    if command.flags.is_empty() { head } else { format!("{head}\nFlags:\n{}", lines(command.flags)) }
}

fn lines(flags: &[Flag]) -> String {
    let line = |flag: &Flag| {
        let short = if flag.short.is_empty() { String::new() } else { format!(", -{}", flag.short) };
        let value = if flag.takes_value { " VALUE" } else { "" };
        format!("  {:30}{}\n", format!("--{}{short}{value}", flag.name), flag.help)
    };
    flags.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    static VERB: Command = Command {
        name: "verb",
        arguments: "ID [ARGUMENT...]",
        about: "",
        flags: &[value("env", "e", ""), switch("detach", "d", "")],
        arity: (1, usize::MAX),
        run: |_| Ok(0),
    };

    static VERBS: &[&Command] = &[&VERB];

    fn call(line: &str) -> Result<Call> {
        match parse(VERBS, line.split_whitespace().map(str::to_owned).collect()) {
            Ok(Asked::Call(_, call)) => Ok(call),
            Ok(Asked::Text(text)) => Err(Error::Usage(text)),
            Err((_, error)) => Err(error),
        }
    }

    #[test]
    fn flags_end_at_the_first_argument() {
        let call = call("--root /r --log=l verb -e A=1 --env B=2 -d box sh -c --env").expect("parses");
        assert_eq!(call.global.root, PathBuf::from("/r"));
        assert_eq!(call.all("env"), ["A=1", "B=2"]);
        assert!(call.has("detach"));
        assert_eq!(call.arguments, ["box", "sh", "-c", "--env"]);
    }

    #[test]
    fn mistakes_are_told() {
        for (line, said) in [
            ("verb", "wrong number"),
            ("verb --nosuch x", "not defined: -nosuch"),
            ("verb --env", "needs an argument"),
            ("nosuch x", "no such command: nosuch"),
            ("--version", "spec: "),
        ] {
            let text = call(line).expect_err(line).to_string();
            assert!(text.contains(said), "{line}: {text}");
        }
    }
}
