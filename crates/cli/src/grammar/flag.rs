//! A flag: its names, what it takes, how a value is judged, what help says.

use super::number;

/// Judges a value; the error is the text after `for "--x" flag: `.
pub type Check = fn(&str) -> Result<(), String>;

/// A flag of a command.
#[derive(Clone, Copy)]
pub struct Flag {
    /// Name after `--`.
    pub long: &'static str,
    /// Letter after `-`.
    pub short: Option<char>,
    /// Word for the value in help; empty for a switch.
    pub value: &'static str,
    /// May be given many times, all values count.
    pub many: bool,
    /// Judges each value.
    pub check: Option<Check>,
    /// Value when not given; shown in help.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Not shown in help.
    pub hidden: bool,
    /// The flag that this is another name of.
    pub same_as: Option<&'static str>,
}

impl Flag {
    const fn new(long: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { long, short: None, value, many: false, check: None, default: "", help, hidden: false, same_as: None }
    }

    /// On or off.
    pub const fn switch(long: &'static str, help: &'static str) -> Self {
        Self::new(long, "", help).check(number::check_bool)
    }

    /// One text; the last given counts.
    pub const fn text(long: &'static str, help: &'static str) -> Self {
        Self::new(long, "string", help)
    }

    /// Any number of texts.
    pub const fn list(long: &'static str, help: &'static str) -> Self {
        Self::new(long, "list", help).many()
    }

    /// Any number of `key=value`.
    pub const fn map(long: &'static str, help: &'static str) -> Self {
        Self::new(long, "map", help).many()
    }

    /// A signed number.
    pub const fn int(long: &'static str, help: &'static str) -> Self {
        Self::new(long, "int", help).check(number::check_int)
    }

    /// A number of bytes with unit.
    pub const fn bytes(long: &'static str, help: &'static str) -> Self {
        Self::new(long, "bytes", help).check(number::check_bytes)
    }

    /// A Go duration.
    pub const fn duration(long: &'static str, help: &'static str) -> Self {
        Self::new(long, "duration", help).check(number::check_duration)
    }

    /// `--filter name=value`.
    pub const fn filter(help: &'static str) -> Self {
        Self::new("filter", "filter", help).many().check(check_filter)
    }

    /// The letter after `-`.
    pub const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    /// The word for the value in help.
    pub const fn value(mut self, word: &'static str) -> Self {
        self.value = word;
        self
    }

    /// All values count.
    pub const fn many(mut self) -> Self {
        self.many = true;
        self
    }

    /// Judges each value.
    pub const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// Value when not given.
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = value;
        self
    }

    /// Leaves it out of help.
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Another, hidden name of this flag.
    pub const fn also(mut self, long: &'static str) -> Self {
        self.same_as = Some(self.long);
        self.long = long;
        self.short = None;
        self.hidden = true;
        self
    }

    /// Whether it takes no value.
    #[must_use]
    pub const fn is_switch(&self) -> bool {
        self.value.is_empty()
    }

    /// The name that values are kept under.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.same_as.unwrap_or(self.long)
    }

    /// `-m, --memory` or `--memory`, as errors name it.
    #[must_use]
    pub fn names(&self) -> String {
        match self.short {
            Some(letter) => format!("-{letter}, --{}", self.long),
            None => format!("--{}", self.long),
        }
    }
}

fn check_filter(text: &str) -> Result<(), String> {
    match text.is_empty() || text.contains('=') {
        true => Ok(()),
        false => Err("bad format of filter (expected name=value)".into()),
    }
}
