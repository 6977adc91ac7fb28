//! Accepting connections, and listening for signals until one says stop.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use berth_api::{Api, Engine, serve};
use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    assemble,
    configuration::Configuration,
    listen::{Listener, Listeners},
    rest::Activity,
    systemd, trace,
    value::Values,
};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after a failed accept, most likely for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Ends what [`start`] began.
pub struct Stop {
    accepting: CancellationToken,
    serving: CancellationToken,
    tasks: TaskTracker,
    paths: Vec<PathBuf>,
}

/// Accepts on all sockets.
pub fn start(engine: &Arc<Engine>, listeners: Listeners) -> Stop {
    let stop = Stop {
        accepting: CancellationToken::new(),
        serving: CancellationToken::new(),
        tasks: TaskTracker::new(),
        paths: listeners.paths,
    };
    let api = Api::new(engine.clone());
    let activity = Activity::default();
    tokio::spawn(activity.clone().rest());
    for socket in listeners.sockets {
        let (serving, tasks, activity) = (stop.serving.clone(), stop.tasks.clone(), activity.clone());
        let door = Door { api: api.clone(), serving, tasks, activity };
        let accepting = stop.accepting.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = accepting.cancelled() => {}
                outcome = door.accept(socket) => {
                    if let Err(error) = outcome {
                        tracing::error!(%error, "a socket is lost");
                    }
                }
            }
        });
    }
    stop
}

impl Stop {
    /// Closes the sockets; connections go on.
    pub fn accepting(&self) {
        self.accepting.cancel();
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Ends the connections: requests in progress get a moment, streams none.
    pub async fn connections(&self) {
        self.serving.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(serve::GRACE, self.tasks.wait()).await;
    }
}

/// What every accepted connection needs.
struct Door {
    api: Api,
    serving: CancellationToken,
    tasks: TaskTracker,
    activity: Activity,
}

impl Door {
    async fn accept(&self, listener: Listener) -> Result<()> {
        match listener {
            Listener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                self.accept_unix(&UnixListener::from_std(listener)?).await
            }
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                self.accept_tcp(&TcpListener::from_std(listener)?, None).await
            }
            Listener::Tls(listener, acceptor) => {
                listener.set_nonblocking(true)?;
                self.accept_tcp(&TcpListener::from_std(listener)?, Some(acceptor)).await
            }
        }
    }

    async fn accept_unix(&self, listener: &UnixListener) -> Result<()> {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    self.activity.note();
                    self.tasks.spawn(serve::connection(socket, self.api.clone(), self.serving.clone()));
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    async fn accept_tcp(&self, listener: &TcpListener, acceptor: Option<TlsAcceptor>) -> Result<()> {
        loop {
            let socket = match listener.accept().await {
                Ok((socket, _)) => socket,
                Err(error) => {
                    pause(&error).await;
                    continue;
                }
            };
            self.activity.note();
            let _ = socket.set_nodelay(true);
            let (api, serving) = (self.api.clone(), self.serving.clone());
            let Some(acceptor) = acceptor.clone() else {
                self.tasks.spawn(serve::connection(socket, api, serving));
                continue;
            };
            self.tasks.spawn(async move {
                match tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await {
                    Ok(Ok(socket)) => serve::connection(socket, api, serving).await,
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                }
            });
        }
    }
}

async fn pause(error: &std::io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(PAUSE).await;
}

/// Waits for SIGTERM or SIGINT; SIGHUP reloads the file. Returns the configuration as it is then.
pub async fn until_told(engine: &Engine, flags: Values, mut configuration: Arc<Configuration>) -> Arc<Configuration> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        tracing::error!("cannot listen for signals");
        return configuration;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => return configuration,
            _ = interrupt.recv() => return configuration,
            _ = hangup.recv() => configuration = reload(engine, &flags, configuration),
        }
    }
}

fn reload(engine: &Engine, flags: &Values, configuration: Arc<Configuration>) -> Arc<Configuration> {
    systemd::notify_reloading();
    let next = match configuration.reloaded(flags) {
        Ok(next) => {
            engine.reload(assemble::settings(&next));
            engine.images.set_verification(next.verification.clone());
            engine.images.set_watermarks(next.pressure);
            trace::set_level(&next.log_level);
            engine.events.publish("daemon", "reload", &engine.facts.id, attributes(&next));
            tracing::info!(file = %next.file.display(), "configuration reloaded");
            Arc::new(next)
        }
        Err(error) => {
            tracing::error!("the configuration stays as it is: {error:#}");
            configuration
        }
    };
    systemd::notify("READY=1");
    next
}

/// What a `reload` event tells.
fn attributes(configuration: &Configuration) -> std::collections::BTreeMap<String, String> {
    let values = configuration.values.0.iter().filter(|(name, _)| !name.starts_with("tls"));
    values
        .map(|(name, value)| ((*name).to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect()
}
