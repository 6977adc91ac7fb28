//! Whole requests over real sockets, to registries in this process.

mod access;
mod bucket;
mod collect;
pub mod crash;
mod mirror;
mod protocol;

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::watch, task::JoinHandle};

use crate::{
    digest::{Algorithm, Digest},
    registry::Registry,
    serve::{bind, serve},
    settings::Settings,
};

/// A registry that listens.
pub struct Running {
    pub address: SocketAddr,
    pub registry: Arc<Registry>,
    stop: watch::Sender<bool>,
    task: JoinHandle<crate::Result<()>>,
}

/// An answer that was read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:?} {}", self.headers, String::from_utf8_lossy(&self.body));
        self
    }
}

pub async fn start(settings: Settings) -> Running {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let registry = Registry::open(settings).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(Arc::clone(&registry), vec![listener], stopped));
    Running { address, registry, stop, task }
}

impl Running {
    pub async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap().unwrap();
    }

    pub async fn client(&self) -> Client {
        Client::new(self.address).await
    }
}

/// A connection that is kept.
pub struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    host: String,
    pub authorization: Option<String>,
}

impl Client {
    pub async fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, host: address.to_string(), authorization: None }
    }

    pub async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.try_ask(method, path, headers, body).await.unwrap()
    }

    pub async fn try_ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> hyper::Result<Answer> {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        request = request.header("Host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Full::new(body.into())).unwrap()).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body: response.into_body().collect().await?.to_bytes() })
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub async fn push_blob(&mut self, name: &str, bytes: &[u8]) -> Digest {
        let digest = digest(bytes);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        self.ask("POST", &path, &[], bytes.to_vec()).await.expect(201);
        digest
    }

    /// Pushes a layer, a config, and the image of both; gives the digests of the image and the layer.
    pub async fn push_image(&mut self, name: &str, tag: &str, layer: &[u8]) -> (Digest, Digest) {
        let layer_digest = self.push_blob(name, layer).await;
        let config = self.push_blob(name, b"{}").await;
        let text = image((&config, 2), &[(&layer_digest, layer.len())]);
        self.ask("PUT", &format!("/v2/{name}/manifests/{tag}"), &[], text.clone()).await.expect(201);
        (digest(text.as_bytes()), layer_digest)
    }
}

pub fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

pub fn image(config: (&Digest, usize), layers: &[(&Digest, usize)]) -> String {
    let layers: Vec<_> = layers
        .iter()
        .map(|(digest, size)| {
            serde_json::json!({"mediaType": berth_spec::image::OCI_LAYER, "digest": digest.as_str(), "size": size})
        })
        .collect();
    serde_json::json!({
        "schemaVersion": 2, "mediaType": berth_spec::image::OCI_MANIFEST,
        "config": {"mediaType": berth_spec::image::OCI_CONFIG, "digest": config.0.as_str(), "size": config.1},
        "layers": layers,
    })
    .to_string()
}

/// Bytes that differ everywhere.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}
