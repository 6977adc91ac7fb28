//! Sockets: `unix://path`, `tcp://address:port`, `fd://[name]`.

use std::{
    fs,
    net::TcpListener,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use tokio_rustls::TlsAcceptor;

use super::{configuration::Configuration, systemd::Passed, tls};

const TCP_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// A socket that clients may knock at.
pub enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
    Tls(TcpListener, TlsAcceptor),
}

/// All sockets, and what is to be said about them.
#[derive(Default)]
pub struct Listeners {
    pub sockets: Vec<Listener>,
    /// Files to remove at the end.
    pub paths: Vec<PathBuf>,
    /// For `info`.
    pub warnings: Vec<String>,
}

/// Binds every configured address.
///
/// # Errors
/// Names the address that cannot be used.
pub fn bind(configuration: &Configuration, mut passed: Vec<Passed>) -> Result<Listeners> {
    let mut listeners = Listeners::default();
    let acceptor = tls::is_wanted(&configuration.values).then(|| tls::acceptor(&configuration.values)).transpose()?;
    for host in &configuration.hosts {
        let failed = || format!("failed to load listeners: {host}");
        match host.split_once("://") {
            Some(("unix", path)) => {
                let path = Path::new(path);
                let group = configuration.values.text("group");
                listeners.sockets.push(Listener::Unix(unix(path, group).with_context(failed)?));
                listeners.paths.push(path.to_owned());
            }
            Some(("tcp", address)) => {
                let socket = tcp(address, acceptor.is_some()).with_context(failed)?;
                add_tcp(&mut listeners, host, socket, acceptor.as_ref());
            }
            Some(("fd", name)) => activated(&mut listeners, name, &mut passed).with_context(failed)?,
            _ => bail!("invalid value {host:?} for host: it must begin with unix://, tcp:// or fd://"),
        }
    }
    Ok(listeners)
}

fn add_tcp(listeners: &mut Listeners, host: &str, socket: TcpListener, acceptor: Option<&TlsAcceptor>) {
    if let Some(acceptor) = acceptor {
        listeners.sockets.push(Listener::Tls(socket, acceptor.clone()));
        return;
    }
    tracing::warn!(
        host,
        "THE API IS OPEN TO WHOEVER REACHES THIS ADDRESS, WITHOUT ENCRYPTION AND WITHOUT A QUESTION: that is root on this machine. Give --tlsverify with certificates, or a unix socket."
    );
    listeners.warnings.push(format!(
        "WARNING: API is accessible on http://{} without encryption.\n         Access to the remote API is equivalent to root access on the host.",
        host.trim_start_matches("tcp://")
    ));
    listeners.sockets.push(Listener::Tcp(socket));
}

fn unix(path: &Path, group: Option<&str>) -> Result<UnixListener> {
    if !path.is_absolute() {
        bail!("the path of a unix socket must be absolute");
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    clear(path)?;
    // Nobody may connect between bind and chmod.
    let mask = berth_sys::process::set_umask(0o177);
    let bound = UnixListener::bind(path);
    berth_sys::process::set_umask(mask);
    let listener = bound.context("cannot bind")?;
    chown(path, Some(0), Some(gid(group)?)).context("cannot give the socket its group")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).context("cannot set the socket's mode")?;
    Ok(listener)
}

/// Removes a socket that a dead daemon left; refuses a live one, and anything else.
fn clear(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        bail!("{} exists and is no socket", path.display());
    }
    if UnixStream::connect(path).is_ok() {
        bail!("a daemon answers on {} already", path.display());
    }
    fs::remove_file(path).context("cannot remove the old socket")
}

/// The group by name or number; without one `berth`, `docker` or root, whichever exists.
fn gid(wanted: Option<&str>) -> Result<u32> {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let find = |name: &str| {
        let mut fields = groups.lines().find(|line| line.split(':').next() == Some(name))?.split(':');
        fields.nth(2)?.parse().ok()
    };
    match wanted {
        Some(name) => find(name).or_else(|| name.parse().ok()).ok_or_else(|| anyhow!("group {name} not found")),
        // Groups of the machine are none of a user namespace's.
        None if berth_sys::user_namespace::is_nested() => Ok(0),
        None => Ok(find("berth").or_else(|| find("docker")).unwrap_or(0)),
    }
}

fn tcp(address: &str, is_tls: bool) -> Result<TcpListener> {
    let address = address.trim_end_matches('/');
    let default_port = if is_tls { TLS_PORT } else { TCP_PORT };
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| anyhow!("{port:?} is no port"))?),
        _ => (address, default_port),
    };
    let host = match host.trim_matches(['[', ']']) {
        "" => "127.0.0.1",
        "localhost" => "127.0.0.1",
        host => host,
    };
    let address: std::net::IpAddr = host.parse().map_err(|_| anyhow!("{host:?} is no IP address"))?;
    TcpListener::bind((address, port)).context("cannot bind")
}

fn activated(listeners: &mut Listeners, name: &str, passed: &mut Vec<Passed>) -> Result<()> {
    let is_wanted = |have: &str| name.is_empty() || name == "*" || name == have;
    let (wanted, others) = std::mem::take(passed).into_iter().partition::<Vec<_>, _>(|(have, _)| is_wanted(have));
    *passed = others;
    if wanted.is_empty() {
        bail!("no sockets found via socket activation: make sure the service was started by systemd");
    }
    for (_, fd) in wanted {
        let family = rustix::net::sockopt::socket_domain(&fd).context("a passed descriptor is no socket")?;
        listeners.sockets.push(match family {
            rustix::net::AddressFamily::UNIX => Listener::Unix(UnixListener::from(fd)),
            _ => Listener::Tcp(TcpListener::from(fd)),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_left_by_the_dead_is_replaced_a_live_one_and_a_file_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.sock");
        drop(unix(&path, Some("0")).unwrap());
        let live = unix(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(unix(&path, None).unwrap_err().to_string().contains("answers"));
        drop(live);
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(unix(&file, None).unwrap_err().to_string().contains("no socket"));
        assert!(unix(Path::new("relative"), None).is_err());
        assert!(gid(Some("no-such-group")).is_err());
    }

    #[test]
    fn addresses() {
        assert!(tcp("127.0.0.1:0", false).is_ok());
        for bad in ["host.example:1", "127.0.0.1:x", "127.0.0.1:99999"] {
            assert!(tcp(bad, false).is_err(), "{bad}");
        }
    }
}
