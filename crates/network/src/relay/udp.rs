//! Datagrams, carried with a socket for each client, by which its answers are known.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{net::UdpSocket, task::AbortHandle};

use super::serve::Load;

/// Clients of one relay; a further one takes the place of the one that has been silent for longest.
const CLIENTS: usize = 1024;
/// How long a client's socket stays without a datagram either way.
const SILENCE: Duration = Duration::from_secs(90);
/// Longest datagram, in bytes.
const DATAGRAM_BYTES_MAX: usize = 65_535;

struct Client {
    socket: Arc<UdpSocket>,
    answers: AbortHandle,
    heard: Arc<AtomicU64>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

/// Takes datagrams to `target` and answers back.
pub async fn carry(socket: UdpSocket, target: SocketAddr, load: Load) {
    let (socket, begun) = (Arc::new(socket), Instant::now());
    let mut clients: HashMap<SocketAddr, Client> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let received = tokio::time::timeout(SILENCE / 3, socket.recv_from(&mut buffer)).await;
        let now = begun.elapsed().as_secs();
        clients.retain(|_, client| now.saturating_sub(client.heard.load(Ordering::Relaxed)) < SILENCE.as_secs());
        // Errors of single datagrams come up here as well, and end nothing.
        let Ok(Ok((count, from))) = received else {
            if received.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            continue;
        };
        if !clients.contains_key(&from) {
            if clients.len() >= CLIENTS {
                let silent = clients.iter().min_by_key(|(_, client)| client.heard.load(Ordering::Relaxed));
                let silent = silent.map(|(address, _)| *address);
                silent.map(|address| clients.remove(&address));
            }
            let Ok(client) = begin(&socket, from, target, begun, &load).await else { continue };
            clients.insert(from, client);
        }
        let Some(client) = clients.get(&from) else { continue };
        client.heard.store(now, Ordering::Relaxed);
        // A target that does not listen loses it, as datagrams are lost.
        let _ = client.socket.send(&buffer[..count]).await;
    }
}

async fn begin(
    front: &Arc<UdpSocket>,
    from: SocketAddr,
    target: SocketAddr,
    begun: Instant,
    load: &Load,
) -> std::io::Result<Client> {
    let any: SocketAddr =
        if target.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = Arc::new(UdpSocket::bind(any).await?);
    socket.connect(target).await?;
    let heard = Arc::new(AtomicU64::new(begun.elapsed().as_secs()));
    // The port is the relay's own: it is free once that has ended, whatever answers are still on their way.
    let (back, front, last, carried) = (socket.clone(), Arc::downgrade(front), heard.clone(), load.begin());
    let answers = tokio::spawn(async move {
        let _carried = carried;
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            match back.recv(&mut buffer).await {
                Ok(count) => {
                    last.store(begun.elapsed().as_secs(), Ordering::Relaxed);
                    let Some(front) = front.upgrade() else { return };
                    let _ = front.send_to(&buffer[..count], from).await;
                }
                // The target's refusal of an earlier datagram.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    });
    Ok(Client { socket, answers: answers.abort_handle(), heard })
}
