//! What a verb gets, and what it gives back.

use crate::config::Config;
use crate::grammar::{Flags, PROGRAM};
use berth_client::Client;
use std::cell::OnceCell;

/// A verb's result: the exit code, or why it failed.
pub type Outcome = Result<u8, Failure>;

/// A failure with the text for the user; an empty text is not printed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// What stderr gets.
    pub text: String,
    /// Exit code.
    pub code: u8,
}

impl Failure {
    /// A failure with exit code 1.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 1 }
    }

    /// A failure whose text was printed already.
    #[must_use]
    pub fn silent(code: u8) -> Self {
        Self { text: String::new(), code }
    }
}

impl From<berth_client::Error> for Failure {
    fn from(error: berth_client::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // The reader of our output has seen enough.
            std::io::ErrorKind::BrokenPipe => Self::silent(141),
            _ => Self::new(crate::text::os(&error)),
        }
    }
}

/// One command line, read.
pub struct Call {
    /// The command as typed: `berth container run`.
    pub path: String,
    /// Its flags.
    pub flags: Flags,
    /// Its arguments.
    pub args: Vec<String>,
    /// Flags before the command.
    pub global: Flags,
    /// The user's configuration file.
    pub config: Config,
    pub(crate) client: OnceCell<Client>,
}

impl Call {
    /// The client of the daemon that the flags and the environment name.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn client(&self) -> Result<&Client, Failure> {
        if self.client.get().is_none() {
            let _ = self.client.set(crate::endpoint::client(&self.global, &self.config)?);
        }
        self.client.get().ok_or_else(|| Failure::new("no client"))
    }

    /// A failure of `run` and its kin: `berth: text`, a hint, exit code 125.
    #[must_use]
    pub fn refuse(&self, text: impl std::fmt::Display) -> Failure {
        self.refuse_with(125, text)
    }

    /// [`Call::refuse`] with another exit code.
    #[must_use]
    pub fn refuse_with(&self, code: u8, text: impl std::fmt::Display) -> Failure {
        let hint = format!("Run '{} --help' for more information", self.path);
        Failure { text: format!("{PROGRAM}: {text}\n\n{hint}"), code }
    }

    /// Does `act` for every argument; each failure is printed and the others go on, as Docker does.
    ///
    /// # Errors
    /// A silent failure when any failed.
    pub async fn each<'a, F>(&'a self, names: &'a [String], act: impl Fn(&'a str) -> F) -> Outcome
    where
        F: Future<Output = berth_client::Result<()>>,
    {
        // Created together, they wait side by side; their results are told in the order of the arguments.
        let results = futures_util::future::join_all(names.iter().map(|name| act(name))).await;
        let mut failed = false;
        for (name, result) in names.iter().zip(results) {
            match result {
                Ok(()) => crate::say!("{name}")?,
                Err(e) => {
                    crate::complain!("{e}");
                    failed = true;
                }
            }
        }
        if failed { Err(Failure::silent(1)) } else { Ok(0) }
    }
}
