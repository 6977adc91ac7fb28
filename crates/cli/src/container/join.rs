//! The user and a container joined: bytes, size, signals, until one of them leaves.

use crate::call::Failure;
use crate::terminal::raw::{self, Raw};
use crate::terminal::session::{Ended, Session, Sized, follow_size};
use crate::terminal::signals::{self, Signal};
use berth_client::container::Waiting;
use berth_client::{Client, Hijacked};
use tokio::sync::mpsc::UnboundedReceiver;

/// Signals to pass on, as they come.
pub type Signals = Option<UnboundedReceiver<Signal>>;

/// What is joined.
pub struct Joined<'a> {
    /// The daemon's client.
    pub client: &'a Client,
    /// The container.
    pub name: &'a str,
    /// Its streams.
    pub session: &'a Session,
    /// Signals for it.
    pub signals: Signals,
}

/// Starts catching signals for a container; with a terminal its keys are signals enough.
#[must_use]
pub fn proxied(tty: bool, proxy: bool) -> Signals {
    (proxy && !tty).then(signals::proxied)
}

impl Joined<'_> {
    /// Moves bytes until the container ends, then gives its exit code; `None` when the user left before.
    ///
    /// # Errors
    /// Stdout cannot be written, or the daemon went away.
    pub async fn run(self, hijacked: Hijacked, waiting: Waiting) -> Result<Option<u8>, Failure> {
        let (client, name, session) = (self.client, self.name, self.session);
        let raw = if session.tty && session.stdin { Raw::enter()? } else { None };
        let aside = async {
            match (session.tty, self.signals) {
                (true, _) => {
                    futures_util::future::join(follow_size(client, Sized::Container(name)), leave_on_signal()).await;
                }
                (false, Some(signals)) => forward(client, name, signals).await,
                (false, None) => std::future::pending().await,
            }
        };
        let main = async {
            let ended = session.run(hijacked).await;
            drop(raw);
            match ended {
                Ok(Ended::Detached) => Ok(None),
                // Our reader is gone; the container goes on, and so does its exit code.
                Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::from(e)),
                _ => match waiting.finish().await {
                    Ok(code) => Ok(Some(exit_code(code))),
                    Err(e) => Err(Failure { text: format!("error waiting for container: {e}"), code: 125 }),
                },
            }
        };
        tokio::select! {
            outcome = main => outcome,
            () = aside => Ok(None),
        }
    }
}

/// Passes signals on to the container; never returns.
async fn forward(client: &Client, name: &str, mut signals: UnboundedReceiver<Signal>) {
    while let Some((_, signal)) = signals.recv().await {
        // It may have ended in the meantime.
        let _ = client.kill(name, signal).await;
    }
    std::future::pending().await
}

/// With a terminal, keys are the container's; a signal from outside ends the client, the terminal put back first.
pub async fn leave_on_signal() {
    if let Some((number, _)) = signals::fatal().recv().await {
        raw::restore();
        std::process::exit(128 + number);
    }
    std::future::pending::<()>().await;
}

/// An exit code of a container as one of a process.
#[must_use]
pub fn exit_code(code: i64) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(1)
}
