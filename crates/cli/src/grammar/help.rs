//! Usage texts, laid out as Docker's client lays them out.

use super::{Command, Flag, PROGRAM};

const WIDTH_DEFAULT: usize = 80;

/// `Usage:  berth run [OPTIONS] IMAGE`, for each line of the command's usage.
#[must_use]
pub fn usage_line(command: &Command, path: &str) -> String {
    let mut lines = command.usage.lines();
    let mut text = format!("Usage:  {path} {}", lines.next().unwrap_or("")).trim_end().to_owned();
    for line in lines {
        text.push_str(&format!("\n\t{path} {line}"));
    }
    text
}

/// The whole help of `command`, reached by `path`.
#[must_use]
pub fn text(command: &Command, path: &str) -> String {
    let mut text = format!("{}\n\n{}\n", usage_line(command, path), command.about);
    if !command.details.is_empty() {
        text.push_str(&format!("\n{}\n", command.details));
    }
    if command.paths.len() > 1 {
        let paths: Vec<_> = command.paths.iter().map(|p| format!("{PROGRAM} {p}")).collect();
        text.push_str(&format!("\nAliases:\n  {}\n", paths.join(", ")));
    }
    let options = options(command);
    if !options.is_empty() {
        text.push_str(&format!("\nOptions:\n{options}"));
    }
    if !command.entries.is_empty() {
        text.push_str(&format!("\nCommands:\n{}", entries(command, |_| true)));
        text.push_str(&format!("\nRun '{path} COMMAND --help' for more information on a command.\n"));
    }
    text
}

/// Names and one line of each visible entry that `chosen` picks, sorted.
pub fn entries(command: &Command, chosen: impl Fn(&str) -> bool) -> String {
    let mut shown: Vec<_> = command.entries.iter().filter(|e| !e.hidden && chosen(e.name)).collect();
    shown.sort_by_key(|e| e.name);
    let width = command.entries.iter().filter(|e| !e.hidden).map(|e| e.name.len()).max().unwrap_or(0).max(11);
    shown.iter().map(|e| format!("  {:width$} {}\n", e.name, e.command.about)).collect()
}

/// The flags of `command`, one paragraph each, sorted.
#[must_use]
pub fn options(command: &Command) -> String {
    let mut flags: Vec<_> = command.all_flags().filter(|f| !f.hidden).collect();
    flags.sort_by_key(|f| f.long);
    let heads: Vec<_> = flags.iter().map(|f| head(f)).collect();
    let column = heads.iter().map(String::len).max().unwrap_or(0) + 3;
    let mut text = String::new();
    for (flag, head) in flags.iter().zip(heads) {
        let mut help = flag.help.to_owned();
        help.push_str(&match (flag.default, flag.value) {
            ("", _) => String::new(),
            (default, "string") => format!(" (default {default:?})"),
            (default, _) => format!(" (default {default})"),
        });
        let lines = wrap(&help, width().saturating_sub(column).max(24));
        for (at, line) in lines.iter().enumerate() {
            let lead = if at == 0 { head.as_str() } else { "" };
            text.push_str(format!("{lead:column$}{line}").trim_end());
            text.push('\n');
        }
    }
    text
}

fn head(flag: &Flag) -> String {
    let short = flag.short.map_or_else(|| "      ".to_owned(), |letter| format!("  -{letter}, "));
    format!("{short}--{} {}", flag.long, flag.value).trim_end().to_owned()
}

fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns >= 40)
        .unwrap_or(WIDTH_DEFAULT)
}

/// Breaks `text` at spaces so that lines have at most `width` characters; its own line ends stay.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() || word.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}
