//! What can go wrong with described devices.

use std::path::PathBuf;

use berth_kit::{Kind, Kinded};

/// A failed act on described devices.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no qualified name.
    #[error("\"{0}\" is not the name of a CDI device: it must be of the form vendor.com/class=device")]
    Name(String),
    /// Nobody describes these devices. The text is Docker's.
    #[error("CDI device injection failed: unresolvable CDI devices {}{}", names.join(", "), hint(problems))]
    Unresolvable {
        /// The devices' qualified names.
        names: Vec<String>,
        /// What was wrong with files that might have described them.
        problems: Vec<String>,
    },
    /// A file cannot be used.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A described device is not on this host.
    #[error("CDI device injection failed: {path}: {why}")]
    Device {
        /// The device node on the host.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Result of an act on described devices.
pub type Result<T> = std::result::Result<T, Error>;

fn hint(problems: &[String]) -> String {
    if problems.is_empty() { String::new() } else { format!(" (not read: {})", problems.join("; ")) }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Name(_) => Kind::Invalid,
            Self::Unresolvable { .. } | Self::File { .. } | Self::Device { .. } => Kind::Internal,
        }
    }
}
