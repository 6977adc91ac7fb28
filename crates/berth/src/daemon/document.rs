//! The table in docs/daemon.md is written from the table of options; this holds it to it.
//!
//! `BERTH_WRITE_DOCS=1 cargo test -p berth documents` writes it anew.

use super::{
    option::{Effect, Opt},
    options::OPTIONS,
};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/daemon.md");
const HEAD: &str = "| flag | key | what it sets | effect |\n|---|---|---|---|\n";

fn row(option: &Opt) -> String {
    let code = |text: &str| if text.is_empty() { "—".to_owned() } else { format!("`{text}`") };
    let flag = match (option.flag, option.short) {
        ("", _) => code(""),
        (flag, None) => format!("`--{flag}`"),
        (flag, Some(letter)) => format!("`-{letter}` `--{flag}`"),
    };
    let effect = match option.effect {
        Effect::Acts => "acts".to_owned(),
        Effect::Ignored(why) => format!("no effect: {why}"),
        Effect::Refused(why) => format!("refused: {why}"),
    };
    let reload = if option.reloads { "; reloads on SIGHUP" } else { "" };
    let about = if option.about.is_empty() { "only in the file" } else { option.about };
    format!("| {flag} | {} | {} | {effect}{reload} |\n", code(option.key), about.replace('|', "\\|"))
}

#[test]
fn documents_every_option() {
    let page = std::fs::read_to_string(PATH).unwrap();
    let (before, rest) = page.split_once(HEAD).expect("docs/daemon.md has a table of options");
    let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
    let table: String = OPTIONS.iter().map(row).collect();
    let gap = if after.is_empty() { "" } else { "\n" };
    let wanted = format!("{before}{HEAD}{table}{gap}{after}");
    if std::env::var_os("BERTH_WRITE_DOCS").is_some() {
        std::fs::write(PATH, &wanted).unwrap();
        return;
    }
    assert_eq!(page, wanted, "docs/daemon.md is out of date");
}
