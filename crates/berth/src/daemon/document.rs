//! docs/daemon-options.md is written from the table of options; this holds it to it.
//!
//! `BERTH_WRITE_DOCS=1 cargo test -p berth documents` writes it anew.

use std::fmt::Write as _;

use super::{
    option::{Effect, Form, Opt},
    options::OPTIONS,
};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/daemon-options.md");
const HEAD: &str = "# Daemon options

Flags of `berth daemon` and keys of `/etc/berth/daemon.json`: dockerd's names. An unknown flag or key is refused by
name, and so is an option that stands in both places. `SIGHUP` reads the file again; options marked *reload* then
change without a restart. `berth daemon --validate` checks flags and file and ends.

What an option does is one of three:

- **acts**: as with dockerd.
- **no effect**: accepted, so that existing configurations go on working; the daemon logs a warning with the reason.
- **refused**: doing without it silently would be unsafe or wrong, so the daemon does not start.

| Flag | Key | Form | Effect | |
|---|---|---|---|---|
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for option in OPTIONS {
        let _ = writeln!(page, "{}", row(option));
    }
    page
}

fn row(option: &Opt) -> String {
    let code = |text: String| if text.is_empty() { "–".to_owned() } else { format!("`{text}`") };
    let flag = match (option.flag, option.short) {
        ("", _) => String::new(),
        (flag, None) => format!("--{flag}"),
        (flag, Some(letter)) => format!("-{letter}, --{flag}"),
    };
    let form = match option.form {
        Form::Flag => "true or false",
        Form::Text => "text",
        Form::Number => "number",
        Form::List => "list",
        Form::Map => "map",
        Form::Json => "object or list",
    };
    let effect = match option.effect {
        Effect::Acts => option.about.to_owned(),
        Effect::Ignored(why) => format!("**no effect**: {why}"),
        Effect::Refused(why) => format!("**refused**: {why}"),
    };
    let reload = if option.reloads { "reload" } else { "" };
    format!("| {} | {} | {form} | {} | {reload} |", code(flag), code(option.key.to_owned()), effect.replace('|', "\\|"))
}

#[test]
fn documents_every_option() {
    if std::env::var_os("BERTH_WRITE_DOCS").is_some() {
        std::fs::write(PATH, page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(PATH).unwrap_or_default(), page(), "docs/daemon-options.md is out of date");
}
