//! Usage texts, laid out as Docker's client lays them out.

use super::{Command, Flag, PROGRAM};

/// Columns of help where there is no terminal.
pub const WIDTH_DEFAULT: usize = 80;
const SLOP: usize = 5;

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

/// The whole help of `command`, reached by `path`, for `width` columns.
#[must_use]
pub fn text(command: &Command, path: &str, width: usize) -> String {
    let mut text = format!("{}\n\n{}\n", usage_line(command, path), command.about);
    if !command.details.is_empty() {
        text.push_str(&format!("\n{}\n", command.details));
    }
    if command.paths.len() > 1 {
        let paths: Vec<_> = command.paths.iter().map(|p| format!("{PROGRAM} {p}")).collect();
        text.push_str(&format!("\nAliases:\n  {}\n", paths.join(", ")));
    }
    let options = options(command, width);
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

/// The flags of `command`, one paragraph each, sorted, for `width` columns.
#[must_use]
pub fn options(command: &Command, width: usize) -> String {
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
        let lines = wrap(&help, width.saturating_sub(column + 1).max(24));
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

/// Columns of the terminal on stdout, 80 where there is none.
#[must_use]
pub fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns >= 40)
        .unwrap_or(WIDTH_DEFAULT)
}

/// Breaks `text` so that lines have at most `width` characters. A line ends [`SLOP`] characters early unless all that is
/// left then fits; its own line ends stay.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let limit = width.saturating_sub(SLOP);
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    loop {
        let end = match rest.len() < width {
            true => None,
            false => {
                let head = &rest[..limit];
                let line_end = head.iter().rposition(|c| *c == '\n');
                line_end.or_else(|| head.iter().rposition(|c| *c == ' ')).filter(|at| *at > 0)
            }
        };
        let Some(end) = end else {
            let last: String = rest.into_iter().collect();
            lines.extend(last.split('\n').map(str::to_owned));
            return lines;
        };
        let line: String = rest[..end].iter().collect();
        lines.extend(line.split('\n').map(str::to_owned));
        rest.drain(..=end);
    }
}
