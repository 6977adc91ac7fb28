//! Somebody else changed the packet rules: they are installed anew at once.
//!
//! The kernel tells every change of nf_tables together with the socket that made it, so the engine's own changes are
//! known apart. Waiting costs nothing: no timer runs.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    task::AbortHandle,
};

use crate::{
    netlink::Socket,
    networks::{Shared, blocking},
};

/// A reload of a host's firewall is many changes; they are answered together.
const GATHER: Duration = Duration::from_millis(50);
/// Two programs that undo each other must not take the machine with them: each time the next change is there already
/// when the pause ends, the pause doubles.
const PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const AT_ONCE: Duration = Duration::from_millis(150);

/// Starts the watch; it ends with `shared`. `None` where there is nothing to watch.
pub(crate) fn start(shared: &Arc<Shared>) -> Option<AbortHandle> {
    let socket = match shared.firewall.listen() {
        Ok(socket) => socket?,
        Err(error) => {
            let sentence = "WARNING: a reload of the host's firewall will not be noticed";
            shared.warn("watch", format!("{sentence}: {error}"));
            return None;
        }
    };
    #[expect(deprecated, reason = "its successor is unsafe for types that may change descriptors; a Socket never does")]
    let notices = AsyncFd::with_interest(socket, Interest::READABLE).ok()?;
    Some(tokio::spawn(watch(notices, Arc::downgrade(shared))).abort_handle())
}

async fn watch(mut notices: AsyncFd<Socket>, shared: Weak<Shared>) {
    let (mut pause, mut pause_end) = (PAUSE, Instant::now());
    loop {
        let Ok(mut ready) = notices.readable_mut().await else { return };
        let Some(shared) = shared.upgrade() else { return };
        let mut heard = drain(ready.get_inner_mut(), &shared);
        ready.clear_ready();
        drop(ready);
        if heard == Heard::default() {
            continue;
        }
        tokio::time::sleep(GATHER).await;
        let more = drain(notices.get_mut(), &shared);
        heard = Heard { ours: heard.ours | more.ours, others: heard.others | more.others };
        if heard.others && !heard.ours && shared.lock().installed {
            let again = Arc::clone(&shared);
            if let Err(error) = blocking(move || again.firewall.judge_anew()).await {
                tracing::warn!(%error, "who was let in by the host's former rules is let in for a minute more");
            }
        }
        if heard.ours && shared.lock().installed {
            tracing::warn!("packet rules were changed by another program; they are installed anew");
            let again = Arc::clone(&shared);
            if let Err(error) = blocking(move || again.install()).await {
                tracing::error!(%error, "packet rules are not in force");
            }
        }
        drop(shared);
        let again = pause_end.elapsed() < AT_ONCE + GATHER;
        pause = if again { (pause * 2).min(LONGEST_PAUSE) } else { PAUSE };
        tokio::time::sleep(pause).await;
        pause_end = Instant::now();
    }
}

/// What notices were about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Heard {
    /// The engine's rules, changed by somebody else.
    ours: bool,
    /// Others' rules that the engine's follow.
    others: bool,
}

/// Reads all notices. Lost ones count as changes to the engine's rules.
fn drain(socket: &mut Socket, shared: &Shared) -> Heard {
    let mut heard = Heard::default();
    loop {
        match socket.try_receive() {
            Ok(Some(datagram)) => {
                heard.ours |= shared.firewall.concerns(datagram);
                heard.others |= shared.firewall.follows(datagram);
            }
            Ok(None) => return heard,
            Err(refusal) if refusal.is(rustix::io::Errno::NOBUFS) => heard.ours = true,
            Err(refusal) => {
                tracing::error!(%refusal, "notices of packet rules cannot be read");
                return heard;
            }
        }
    }
}
