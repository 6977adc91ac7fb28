//! What an option of the daemon is.

/// The form of an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `--debug`, `--debug=false`; a boolean in the file.
    Flag,
    /// One text.
    Text,
    /// One whole number.
    Number,
    /// Given several times; a list in the file.
    List,
    /// `key=value`, given several times; an object of texts in the file.
    Map,
    /// Only in the file; any JSON of the form its reader expects.
    Json,
}

/// What the daemon does with an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It acts.
    Acts,
    /// It is taken for the sake of existing configurations, and does nothing; the text says why that is harmless.
    Ignored(&'static str),
    /// It is refused unless it says what is the case anyway; the text says why.
    Refused(&'static str),
}

/// One option: a row of [`super::options::OPTIONS`].
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// Long flag without dashes; empty when there is none.
    pub flag: &'static str,
    /// One-letter flag.
    pub short: Option<char>,
    /// Key in daemon.json; empty when there is none.
    pub key: &'static str,
    /// Form of its value.
    pub form: Form,
    /// What it does.
    pub effect: Effect,
    /// Whether SIGHUP brings a new value to life.
    pub reloads: bool,
    /// One line for `--help`.
    pub about: &'static str,
}

impl Opt {
    /// Under which name its value is kept: the key, or the flag when there is no key.
    pub fn name(&self) -> &'static str {
        if self.key.is_empty() { self.flag } else { self.key }
    }
}
