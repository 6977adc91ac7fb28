//! Reading arguments: the rules and the error texts of the POSIX/GNU style that Docker's client follows.

use super::number;
use super::{Command, Flag};

/// The flags that were given.
#[derive(Debug, Default, Clone)]
pub struct Flags {
    given: Vec<(&'static str, String)>,
    defaults: Vec<(&'static str, &'static str)>,
}

/// What came out of the arguments.
#[derive(Debug)]
pub enum Parsed {
    /// Flags and arguments.
    Line(Flags, Vec<String>),
    /// `--help` was asked for.
    Help,
}

impl Flags {
    /// The last value of `name`, its default, or nothing.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        let last = self.given.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        last.or_else(|| self.defaults.iter().find(|(key, _)| *key == name).map(|(_, v)| *v)).unwrap_or("")
    }

    /// All values of `name`, in order.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.given.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// All values of `name` as owned texts.
    #[must_use]
    pub fn strings(&self, name: &str) -> Vec<String> {
        self.list(name).map(str::to_owned).collect()
    }

    /// Whether the switch `name` is on.
    #[must_use]
    pub fn on(&self, name: &str) -> bool {
        number::boolean(self.text(name)).unwrap_or(false)
    }

    /// Whether `name` was given.
    #[must_use]
    pub fn given(&self, name: &str) -> bool {
        self.given.iter().any(|(key, _)| *key == name)
    }

    /// The number of `name`, 0 when neither given nor defaulted.
    #[must_use]
    pub fn int(&self, name: &str) -> i64 {
        number::int(self.text(name)).unwrap_or(0)
    }

    /// The size of `name` in bytes, 0 when not given; `-1` stays.
    #[must_use]
    pub fn bytes(&self, name: &str) -> i64 {
        match self.text(name) {
            "-1" => -1,
            text => berth_kit::size::parse_bytes(text).unwrap_or(0),
        }
    }

    /// The duration of `name` in nanoseconds, 0 when not given.
    #[must_use]
    pub fn duration_ns(&self, name: &str) -> i64 {
        berth_kit::time::parse_duration(self.text(name)).unwrap_or(0)
    }

    /// Whether any flag was given.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.given.is_empty()
    }
}

/// Reads `arguments` by the table of `command`.
///
/// # Errors
/// The text for the user, without usage.
pub fn parse(command: &Command, arguments: Vec<String>) -> Result<Parsed, String> {
    let mut reader = Reader {
        flags: command.all_flags().collect(),
        found: Flags {
            given: Vec::new(),
            defaults: command.all_flags().filter(|f| !f.default.is_empty()).map(|f| (f.long, f.default)).collect(),
        },
        help: false,
    };
    let mut rest = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            rest.extend(arguments);
            break;
        }
        if let Some(long) = argument.strip_prefix("--") {
            reader.long(long, &mut arguments)?;
        } else if argument.len() > 1 && argument.starts_with('-') {
            reader.shorts(&argument[1..], &mut arguments)?;
        } else {
            rest.push(argument);
            if command.flags_first {
                rest.extend(arguments);
                break;
            }
        }
        if reader.help {
            return Ok(Parsed::Help);
        }
    }
    Ok(Parsed::Line(reader.found, rest))
}

struct Reader {
    flags: Vec<&'static Flag>,
    found: Flags,
    help: bool,
}

impl Reader {
    fn long(&mut self, text: &str, more: &mut impl Iterator<Item = String>) -> Result<(), String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(format!("bad flag syntax: --{text}"));
        }
        let Some(flag) = self.flags.iter().copied().find(|f| f.long == name) else {
            if name == "help" {
                self.help = true;
                return Ok(());
            }
            return Err(format!("unknown flag: --{name}"));
        };
        let value = match value {
            Some(value) => value,
            None if flag.is_switch() => "true".to_owned(),
            None => more.next().ok_or_else(|| format!("flag needs an argument: --{name}"))?,
        };
        self.set(flag, value)
    }

    fn shorts(&mut self, text: &str, more: &mut impl Iterator<Item = String>) -> Result<(), String> {
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            let Some(flag) = self.flags.iter().copied().find(|f| f.short == Some(letter)) else {
                if letter == 'h' {
                    self.help = true;
                    return Ok(());
                }
                return Err(format!("unknown shorthand flag: '{letter}' in -{text}"));
            };
            if flag.is_switch() {
                match rest.strip_prefix('=') {
                    Some(value) => return self.set(flag, value.to_owned()),
                    None => self.set(flag, "true".to_owned())?,
                }
                continue;
            }
            let value = match rest {
                "" => more.next().ok_or_else(|| format!("flag needs an argument: '{letter}' in -{text}"))?,
                _ => rest.strip_prefix('=').unwrap_or(rest).to_owned(),
            };
            return self.set(flag, value);
        }
        Ok(())
    }

    fn set(&mut self, flag: &'static Flag, value: String) -> Result<(), String> {
        if let Some(check) = flag.check {
            check(&value).map_err(|why| format!("invalid argument {value:?} for {:?} flag: {why}", flag.names()))?;
        }
        self.found.given.push((flag.key(), value));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::Arity;

    static COMMAND: Command = Command::verb("", "", Arity::AtLeast(0), |_| Box::pin(async { Ok(0) })).with(&[&[
        Flag::switch("interactive", "").short('i'),
        Flag::switch("tty", "").short('t'),
        Flag::list("publish", "").short('p'),
        Flag::text("network", "").also("net"),
        Flag::bytes("memory", "").short('m'),
        Flag::switch("proxy", "").default("true"),
    ]]);

    fn line(arguments: &[&str]) -> (Flags, Vec<String>) {
        match parse(&COMMAND, arguments.iter().map(|a| (*a).to_owned()).collect()).unwrap() {
            Parsed::Line(flags, rest) => (flags, rest),
            Parsed::Help => panic!("help"),
        }
    }

    #[test]
    fn clusters_values_and_terminator() {
        let (flags, rest) = line(&["-itp80:80", "-p=81:81", "-p", "82", "--net=x", "a", "--", "-i"]);
        assert!(flags.on("interactive") && flags.on("tty") && flags.on("proxy"));
        assert_eq!(flags.list("publish").collect::<Vec<_>>(), ["80:80", "81:81", "82"]);
        assert_eq!(flags.text("network"), "x");
        assert_eq!(rest, ["a", "-i"]);
        assert!(!line(&["--proxy=false"]).0.on("proxy"));
    }

    #[test]
    fn refusals_are_dockers() {
        for (arguments, text) in [
            (&["--foo"][..], "unknown flag: --foo"),
            (&["-ix"], "unknown shorthand flag: 'x' in -ix"),
            (&["--publish"], "flag needs an argument: --publish"),
            (&["-p"], "flag needs an argument: 'p' in -p"),
            (&["-m", "x"], "invalid argument \"x\" for \"-m, --memory\" flag: invalid size: 'x'"),
            (
                &["--tty=foo"],
                "invalid argument \"foo\" for \"-t, --tty\" flag: strconv.ParseBool: parsing \"foo\": invalid syntax",
            ),
            (&["--=x"], "bad flag syntax: --=x"),
        ] {
            let owned = arguments.iter().map(|a| (*a).to_owned()).collect();
            assert_eq!(parse(&COMMAND, owned).unwrap_err(), text);
        }
    }
}
