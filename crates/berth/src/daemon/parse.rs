//! The command line: `--flag value`, `--flag=value`, `-f value`, `-fvalue`, `-Df`.

use std::ffi::OsString;

use anyhow::{Result, anyhow, bail};
use serde_json::{Map, Value, json};

use super::{
    option::{Form, Opt},
    options::OPTIONS,
    value::Values,
};

/// Reads dockerd's flags; an unknown one is refused by name.
pub fn arguments(arguments: &[OsString]) -> Result<Values> {
    let mut values = Values::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_str().ok_or_else(|| anyhow!("argument {argument:?} is no UTF-8 text"))?;
        if let Some(long) = text.strip_prefix("--") {
            let (name, given) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let option = OPTIONS.iter().find(|option| !option.flag.is_empty() && option.flag == name);
            let option = option.ok_or_else(|| anyhow!("unknown flag: --{name}\nSee 'berth daemon --help'."))?;
            take(&mut values, option, given, &mut rest)?;
        } else if let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            short(&mut values, letters, &mut rest)?;
        } else {
            bail!("\"berth daemon\" accepts no arguments: {text:?}\nSee 'berth daemon --help'.");
        }
    }
    Ok(values)
}

/// `-D`, `-H tcp://…`, `-Htcp://…`, `-DH tcp://…`.
fn short<'a>(values: &mut Values, letters: &str, rest: &mut impl Iterator<Item = &'a OsString>) -> Result<()> {
    for (place, letter) in letters.char_indices() {
        let option = OPTIONS.iter().find(|option| option.short == Some(letter));
        let option = option
            .ok_or_else(|| anyhow!("unknown shorthand flag: '{letter}' in -{letters}\nSee 'berth daemon --help'."))?;
        let after = &letters[place + letter.len_utf8()..];
        if option.form == Form::Flag && !after.starts_with('=') {
            take(values, option, None, rest)?;
            continue;
        }
        let given = (!after.is_empty()).then(|| after.strip_prefix('=').unwrap_or(after).to_owned());
        return take(values, option, given, rest);
    }
    Ok(())
}

fn take<'a>(
    values: &mut Values,
    option: &Opt,
    given: Option<String>,
    rest: &mut impl Iterator<Item = &'a OsString>,
) -> Result<()> {
    let flag = option.flag;
    let text = match (option.form, given) {
        (Form::Flag, given) => given.unwrap_or_else(|| "true".to_owned()),
        (_, Some(given)) => given,
        (_, None) => {
            let next = rest.next().ok_or_else(|| anyhow!("flag needs an argument: --{flag}"))?;
            next.to_str().ok_or_else(|| anyhow!("the value of --{flag} is no UTF-8 text"))?.to_owned()
        }
    };
    let refuse = |why: &str| anyhow!("invalid argument {text:?} for --{flag}: {why}");
    let name = option.name();
    match option.form {
        Form::Flag => {
            let value = boolean(&text).ok_or_else(|| refuse("it must be true or false"))?;
            values.0.insert(name, Value::Bool(value));
        }
        Form::Text => {
            values.0.insert(name, Value::String(text));
        }
        Form::Number => {
            let number: i64 = text.parse().map_err(|_| refuse("it must be a whole number"))?;
            values.0.insert(name, json!(number));
        }
        Form::List | Form::Json => {
            let list = values.0.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            list.as_array_mut().into_iter().for_each(|list| list.push(Value::String(text.clone())));
        }
        Form::Map => {
            let (key, value) = text.split_once('=').ok_or_else(|| refuse("it must be key=value"))?;
            let map = values.0.entry(name).or_insert_with(|| Value::Object(Map::new()));
            map.as_object_mut().into_iter().for_each(|map| drop(map.insert(key.to_owned(), json!(value))));
        }
    }
    Ok(())
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Values> {
        arguments(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn all_forms() {
        let words = [
            "-DH",
            "unix:///x",
            "-Hfd://",
            "--data-root=/d",
            "--icc=false",
            "--log-opt",
            "max-size=1m",
            "--mtu",
            "9000",
        ];
        let values = parse(&words).unwrap();
        assert!(values.flag("debug") && !values.flag_or("icc", true));
        assert_eq!(values.list("hosts"), ["unix:///x", "fd://"]);
        assert_eq!(values.text("data-root"), Some("/d"));
        assert_eq!(values.map("log-opts")["max-size"], "1m");
        assert_eq!(values.number("mtu"), Some(9000));
    }

    #[test]
    fn wrong_flags_are_refused_by_name() {
        for (words, named) in [
            (&["--no-such"][..], "--no-such"),
            (&["-x"], "'x'"),
            (&["--data-root"], "--data-root"),
            (&["--mtu", "big"], "--mtu"),
            (&["--debug=maybe"], "--debug"),
            (&["--log-opt", "alone"], "--log-opt"),
            (&["word"], "word"),
            (&["--"], "--"),
        ] {
            let error = parse(words).unwrap_err().to_string();
            assert!(error.contains(named), "{words:?}: {error}");
        }
    }
}
