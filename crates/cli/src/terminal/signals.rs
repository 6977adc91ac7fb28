//! Signals sent to the client: passed on to the container, or a reason to leave in order.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Signals that `--sig-proxy` passes on. Not SIGWINCH: many servers take it for something else than a resize.
const PROXIED: &[(i32, &str)] = &[
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (10, "SIGUSR1"),
    (12, "SIGUSR2"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (18, "SIGCONT"),
    (20, "SIGTSTP"),
    (21, "SIGTTIN"),
    (22, "SIGTTOU"),
];
const FATAL: &[(i32, &str)] = &[(1, "SIGHUP"), (2, "SIGINT"), (3, "SIGQUIT"), (15, "SIGTERM")];

/// A signal by number and name.
pub type Signal = (i32, &'static str);

/// The signals that `--sig-proxy` passes on, as they come.
#[must_use]
pub fn proxied() -> mpsc::UnboundedReceiver<Signal> {
    listen(PROXIED)
}

/// The signals that end a client, as they come.
#[must_use]
pub fn fatal() -> mpsc::UnboundedReceiver<Signal> {
    listen(FATAL)
}

fn listen(signals: &'static [Signal]) -> mpsc::UnboundedReceiver<Signal> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for (number, name) in signals {
        // A signal that cannot be caught is not passed on.
        let Ok(mut stream) = signal(SignalKind::from_raw(*number)) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move { while stream.recv().await.is_some() && sender.send((*number, *name)).is_ok() {} });
    }
    receiver
}

/// Changes of the terminal's size, as they come.
#[must_use]
pub fn resized() -> Option<tokio::signal::unix::Signal> {
    signal(SignalKind::window_change()).ok()
}
