//! Where the daemon is: `unix:///path`, `tcp://host:port`, or berth's own socket.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Socket of a daemon started without `-H`.
pub const DEFAULT_SOCKET: &str = "/run/berth/berth.sock";
/// The same of a daemon without root, below XDG_RUNTIME_DIR.
const OWN_SOCKET: &str = "berth/berth.sock";
const PORT_PLAIN: u16 = 2375;
const PORT_TLS: u16 = 2376;

/// An address of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP address; `authority` is `host:port`.
    Tcp {
        /// Name or address, without brackets.
        name: String,
        /// Port.
        port: u16,
    },
}

/// Who named the address; a daemon is started only where nobody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// berth's own default socket.
    Default,
    /// `-H`, `BERTH_HOST` or `DOCKER_HOST`.
    Explicit,
}

/// Certificates for a TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates that may sign the daemon's (PEM).
    pub ca: PathBuf,
    /// The client's certificate (PEM); unused when the file does not exist.
    pub cert: PathBuf,
    /// The client's key (PEM).
    pub key: PathBuf,
    /// Whether the daemon's certificate is checked.
    pub verify: bool,
}

impl TlsFiles {
    /// `ca.pem`, `cert.pem` and `key.pem` in `directory`.
    #[must_use]
    pub fn in_directory(directory: &Path, verify: bool) -> Self {
        Self { ca: directory.join("ca.pem"), cert: directory.join("cert.pem"), key: directory.join("key.pem"), verify }
    }
}

impl Host {
    /// Reads an address in dockerd's grammar; `tls` chooses the default port.
    ///
    /// # Errors
    /// [`Error::Host`] for an unknown scheme, an empty path or a bad port.
    pub fn parse(text: &str, tls: bool) -> Result<Self> {
        let refuse = || Error::Host(text.to_owned());
        let (scheme, rest) =
            text.split_once("://").unwrap_or(if text.starts_with('/') { ("unix", text) } else { ("tcp", text) });
        match scheme {
            "unix" if !rest.is_empty() => Ok(Self::Unix(PathBuf::from(rest))),
            "tcp" | "http" | "https" => Self::tcp(rest.split('/').next().unwrap_or(""), tls).ok_or_else(refuse),
            _ => Err(refuse()),
        }
    }

    fn tcp(authority: &str, tls: bool) -> Option<Self> {
        let fallback = if tls { PORT_TLS } else { PORT_PLAIN };
        let (name, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (name, after) = rest.split_once(']')?;
            (name, after.strip_prefix(':'))
        } else {
            match authority.rsplit_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (authority, None),
            }
        };
        let port = port.map_or(Some(fallback), |p| p.parse().ok())?;
        let name = if name.is_empty() { "127.0.0.1" } else { name };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_' | '%');
        name.chars().all(fits).then(|| Self::Tcp { name: name.to_owned(), port })
    }

    /// The first of `BERTH_HOST` and `DOCKER_HOST` that is set, or the default socket: that of the user's own daemon where
    /// there is one, or no other.
    ///
    /// # Errors
    /// [`Error::Host`] when the variable holds no address.
    pub fn from_environment(tls: bool) -> Result<(Self, Origin)> {
        for variable in ["BERTH_HOST", "DOCKER_HOST"] {
            match std::env::var(variable) {
                Ok(text) if !text.is_empty() => return Ok((Self::parse(&text, tls)?, Origin::Explicit)),
                _ => {}
            }
        }
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join(OWN_SOCKET));
        Ok((Self::Unix(usual_socket(own, is_root())), Origin::Default))
    }
}

fn usual_socket(own: Option<PathBuf>, is_root: bool) -> PathBuf {
    let system = PathBuf::from(DEFAULT_SOCKET);
    match own.filter(|path| path.is_absolute() && !is_root) {
        Some(own) if own.exists() || !system.exists() => own,
        _ => system,
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { name, port } if name.contains(':') => write!(f, "tcp://[{name}]:{port}"),
            Self::Tcp { name, port } => write!(f, "tcp://{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (text, tls, shown) in [
            ("unix:///run/x.sock", false, "unix:///run/x.sock"),
            ("/run/x.sock", false, "unix:///run/x.sock"),
            ("tcp://10.0.0.1:99", false, "tcp://10.0.0.1:99"),
            ("tcp://box", false, "tcp://box:2375"),
            ("tcp://box", true, "tcp://box:2376"),
            ("tcp://:2375", false, "tcp://127.0.0.1:2375"),
            ("tcp://[::1]:4", false, "tcp://[::1]:4"),
            ("box:1", false, "tcp://box:1"),
        ] {
            assert_eq!(Host::parse(text, tls).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn the_users_own_daemon_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        std::fs::write(&socket, "").unwrap();
        assert_eq!(usual_socket(Some(socket.clone()), false), socket);
        assert_eq!(usual_socket(Some(socket), true), Path::new(DEFAULT_SOCKET));
        assert_eq!(usual_socket(None, false), Path::new(DEFAULT_SOCKET));
    }

    #[test]
    fn refuses_nonsense() {
        for text in ["unix://", "ftp://x", "tcp://x:70000", "tcp://x:y", "tcp://a b", "npipe:////./pipe"] {
            assert!(Host::parse(text, false).is_err(), "{text}");
        }
    }
}
