//! Connections, carried byte by byte.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::serve::Load;

/// Connections that one relay carries at once.
const CONNECTIONS: usize = 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub async fn accept(listener: TcpListener, target: SocketAddr, load: Load) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let carried = load.begin();
                tokio::spawn(async move {
                    carry(client, target).await;
                    drop((permit, carried));
                });
            }
            // Out of descriptors, or the client is gone: neither ends the relay.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr) {
    let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await else { return };
    // How a connection ends is between its two ends.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
