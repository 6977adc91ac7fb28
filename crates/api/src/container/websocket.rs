//! `GET /containers/{id}/attach/ws`: the same streams as binary messages, without frames.

use std::sync::Arc;

use axum::{
    extract::{
        Request, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::IntoResponse,
};
use berth_container::Attached;
use berth_spec::stream::Decoder;
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Engine, Error, failure::Answer, name::Name, query::Query};

pub async fn attach(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query, request: Request) -> Answer {
    let mut wanted = super::attach::wanted(&query)?;
    // Clients that name no stream mean all.
    if !(wanted.stdin || wanted.stdout || wanted.stderr) {
        (wanted.stdin, wanted.stdout, wanted.stderr) = (true, true, true);
    }
    wanted.stream = true;
    let upgrade = <WebSocketUpgrade as axum::extract::FromRequest<(), _>>::from_request(request, &()).await;
    let upgrade = upgrade.map_err(|rejection| Error::Header { name: "Upgrade", reason: rejection.body_text() })?;
    let attached = engine.containers.attach(&id, wanted).await?;
    Ok(upgrade.on_upgrade(|socket| converse(socket, attached)).into_response())
}

async fn converse(socket: WebSocket, attached: Attached) {
    let (mut to_client, mut from_client) = socket.split();
    let mut plain = Plain { tty: attached.tty, frames: Decoder::default() };
    if let Some(mut before) = attached.replay {
        while let Some(Ok(bytes)) = before.next().await {
            if plain.send(&mut to_client, bytes).await.is_err() {
                return;
            }
        }
    }
    let Some(live) = attached.stream else { return };
    let (output, mut input) = tokio::io::split(live);
    let inward = async move {
        while let Some(Ok(message)) = from_client.next().await {
            let bytes = match message {
                Message::Text(text) => Bytes::from(text),
                Message::Binary(bytes) => bytes,
                Message::Close(_) => break,
                _ => continue,
            };
            if input.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = input.shutdown().await;
    };
    tokio::select! {
        () = inward => {}
        () = plain.send_all(&mut to_client, output) => {}
    }
    let _ = to_client.close().await;
}

/// Takes the frames off.
struct Plain {
    tty: bool,
    frames: Decoder,
}

impl Plain {
    async fn send_all(&mut self, client: &mut SplitSink<WebSocket, Message>, mut output: impl AsyncReadExt + Unpin) {
        loop {
            let mut buffer = BytesMut::with_capacity(32 << 10);
            match output.read_buf(&mut buffer).await {
                Ok(1..) if self.send(client, buffer.freeze()).await.is_ok() => {}
                _ => return,
            }
        }
    }

    async fn send(&mut self, client: &mut SplitSink<WebSocket, Message>, bytes: Bytes) -> Result<(), axum::Error> {
        if self.tty {
            return client.send(Message::Binary(bytes)).await;
        }
        self.frames.push(&bytes);
        while let Some((_, payload)) = self.frames.next_frame().map_err(axum::Error::new)? {
            client.send(Message::Binary(payload)).await?;
        }
        Ok(())
    }
}
