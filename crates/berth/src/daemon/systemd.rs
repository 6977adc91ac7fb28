//! systemd: readiness, watchdog and passed sockets (sd_notify(3), sd_listen_fds(3)).

use std::{
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

/// First passed descriptor.
const LISTEN_FDS_START: i32 = 3;

/// Tells the service manager, if there is one.
pub fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, state, "cannot tell the service manager");
    }
}

/// Tells the service manager that a reload begins, with the time it wants for that.
pub fn notify_reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let microseconds = now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}

/// Strokes the watchdog twice in its period, until dropped.
pub fn watchdog() -> Option<Watchdog> {
    let period_us: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok().filter(|us| *us > 1)?;
    let is_other = std::env::var("WATCHDOG_PID").is_ok_and(|pid| pid.parse() != Ok(std::process::id()));
    if is_other {
        return None;
    }
    let mut beat = tokio::time::interval(Duration::from_micros(period_us / 2));
    Some(Watchdog(tokio::spawn(async move {
        loop {
            beat.tick().await;
            notify("WATCHDOG=1");
        }
    })))
}

/// Ends the strokes when dropped.
pub struct Watchdog(JoinHandle<()>);

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A socket that the service manager passed, with its name.
pub type Passed = (String, OwnedFd);

/// All that the service manager passed.
pub fn sockets() -> Vec<Passed> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Vec::new();
    }
    let count = i32::try_from(number("LISTEN_FDS").unwrap_or(0)).unwrap_or(0);
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    (LISTEN_FDS_START..LISTEN_FDS_START.saturating_add(count))
        .filter_map(|fd| Some((names.next().unwrap_or_default(), berth_sys::descriptor::adopt(fd)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_reaches_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_pathname(&path).unwrap();
        UnixDatagram::unbound().unwrap().send_to_addr(b"READY=1", &address).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(socket.recv(&mut buffer).unwrap(), 7);
        assert!(sockets().is_empty());
    }
}
