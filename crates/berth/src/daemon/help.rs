//! `berth daemon --help`, from the table of options.

use std::fmt::Write as _;

use super::{
    option::{Effect, Form},
    options::OPTIONS,
};

/// The usage text.
pub fn text() -> String {
    let mut text =
        "Usage:  berth daemon [OPTIONS]\n\nAnswers the Docker Engine API and runs containers.\n\nOptions:\n".to_owned();
    for option in OPTIONS.iter().filter(|option| !option.flag.is_empty()) {
        let short = option.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
        let form = match option.form {
            Form::Flag => "",
            Form::Text => " string",
            Form::Number => " int",
            Form::List => " list",
            Form::Map => " map",
            Form::Json => " value",
        };
        let note = match option.effect {
            Effect::Acts => String::new(),
            Effect::Ignored(why) => format!(" (no effect: {why})"),
            Effect::Refused(why) => format!(" (refused: {why})"),
        };
        let _ = writeln!(text, "  {short}--{:<39}{}{note}", format!("{}{form}", option.flag), option.about);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_every_flag() {
        let text = super::text();
        assert!(text.contains("-H, --host list") && text.contains("--tlsverify"));
    }
}
