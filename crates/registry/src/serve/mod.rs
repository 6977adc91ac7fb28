//! The doors: sockets, TLS, connections, and the end.

pub mod door;
pub mod lane;
pub mod payload;
pub mod tls;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Error, Result, handle,
    handle::Peer,
    metric,
    registry::{Connected, Registry},
};
use lane::{Lane, Laned};

/// For a request's headers, and for a handshake.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// For requests under way when the server ends.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of a request's headers, and room for what is read and written at once.
const BUFFER_BYTES: usize = 512 * 1024;
/// How often what is to be done now and then is looked at.
const BACKUP_EVERY: Duration = Duration::from_secs(30);

/// Binds an address.
///
/// # Errors
/// [`Error::Setting`] names it.
pub async fn bind(address: SocketAddr) -> Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| Error::Setting { name: address.to_string(), reason: error.to_string() })
}

/// Answers on `listeners` until `stop` says so, then lets requests end.
///
/// # Errors
/// [`Error::Setting`] for certificates that cannot be used, and those of the admin socket.
pub async fn serve(
    registry: Arc<Registry>,
    listeners: Vec<TcpListener>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let acceptor = registry.settings.tls.as_ref().map(|(chain, key)| tls::acceptor(chain, key)).transpose()?;
    let places = Arc::new(Semaphore::new(registry.settings.limits.connections));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(door::serve(Arc::clone(&registry), door::bind(&registry.settings.root)?));
    tasks.spawn(chores(Arc::clone(&registry)));
    for listener in listeners {
        let (registry, acceptor) = (Arc::clone(&registry), acceptor.clone());
        let (places, stop) = (Arc::clone(&places), stop.clone());
        tasks.spawn(async move {
            loop {
                // When all places are taken, whoever knocks waits.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let Ok((stream, address)) = listener.accept().await else {
                    // Out of descriptors, mostly.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let (registry, acceptor, stop) = (Arc::clone(&registry), acceptor.clone(), stop.clone());
                tokio::spawn(async move {
                    let _place = place;
                    welcome(registry, stream, address, acceptor, stop).await;
                });
            }
        });
    }
    let _ = stop.wait_for(|is_over| *is_over).await;
    tasks.shutdown().await;
    // All places are free when all connections have ended.
    let all = u32::try_from(registry.settings.limits.connections).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(END_PATIENCE, places.acquire_many(all)).await;
    backup(&registry).await;
    Ok(())
}

async fn welcome(
    registry: Arc<Registry>,
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    stop: watch::Receiver<bool>,
) {
    let origin = address.ip().to_canonical();
    metric::add(&registry.metrics.connections, 1);
    if !registry.counts.enter(origin, registry.settings.limits.connections_per_address) {
        metric::add(&registry.metrics.refused_connections, 1);
        return;
    }
    let connected = registry.connected();
    let local = stream.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
    let _ = stream.set_nodelay(true);
    let lane = acceptor.is_none().then(|| Arc::new(Lane::default()));
    let peer = Arc::new(Peer { address: origin, local, is_tls: acceptor.is_some(), lane: lane.clone() });
    match (acceptor, lane) {
        (Some(acceptor), _) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_PATIENCE, acceptor.accept(stream)).await {
                converse(&registry, peer, stream, &connected, stop).await;
            }
        }
        (None, Some(lane)) => converse(&registry, peer, Laned::new(stream, lane), &connected, stop).await,
        (None, None) => {}
    }
    registry.counts.leave(origin);
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    registry: &Arc<Registry>,
    peer: Arc<Peer>,
    stream: S,
    _connected: &Connected,
    mut stop: watch::Receiver<bool>,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(BUFFER_BYTES)
        // Pieces of a lane must reach the socket as they are, so hyper must not join what it writes.
        .writev(true);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(256);
    let service = service_fn(|request: Request<Incoming>| {
        let (registry, peer) = (Arc::clone(registry), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(handle::answer(&registry, &peer, request).await) }
    });
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    // A client that goes away is no error.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|is_over| *is_over) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// What is done now and then: garbage, the mirror's quota, the copy of the ledger in the bucket.
async fn chores(registry: Arc<Registry>) {
    let every = registry.settings.collect_every;
    let mut collected = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(BACKUP_EVERY).await;
        if let Some(mirror) = &registry.mirror
            && let Err(error) = mirror.keep_quota(&registry).await
        {
            tracing::error!(%error, "the mirror's quota cannot be kept");
        }
        if !every.is_zero() && collected.elapsed() >= every {
            collected = tokio::time::Instant::now();
            match registry.collect(registry.terms()).await {
                Ok(collected) => tracing::info!(?collected, "garbage collected"),
                Err(error) => tracing::error!(%error, "garbage cannot be collected"),
            }
        }
        backup(&registry).await;
    }
}

async fn backup(registry: &Registry) {
    if let crate::store::Store::Bucket(bucket) = &*registry.depot.store
        && let Err(error) = bucket.backup(&registry.depot.ledger, &registry.settings.root).await
    {
        tracing::error!(%error, "the ledger cannot be copied into the bucket");
    }
}
