//! A registry on loopback: a function from request to answer, and what it was asked.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use berth_spec::{Digest, Reference, image::Descriptor};
use bytes::Bytes;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpListener};

use crate::{Credentials, Policy, Repository};

pub type Answer = Response<http_body_util::Full<Bytes>>;

/// A line of what came in: path with query, and the headers that matter here.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub authorization: Option<String>,
}

pub struct Server {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Serves `answer`, which gets its own address and the request.
    pub async fn start(answer: impl Fn(&str, &Request<Incoming>) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (answer, log, own) = (Arc::new(answer), Arc::clone(&asked), address.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answer, log, own) = (Arc::clone(&answer), Arc::clone(&log), own.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let header = request.headers().get("authorization");
                    let authorization = header.map(|value| value.to_str().unwrap().to_owned());
                    log.lock().unwrap().push(Asked { path: request.uri().to_string(), authorization });
                    let answer = answer(&own, &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn reference(&self) -> Reference {
        Reference::parse(&format!("{}/team/app:1", self.address)).unwrap()
    }

    pub fn repository(&self) -> Arc<Repository> {
        self.repository_with(None)
    }

    pub fn repository_with(&self, credentials: Option<Credentials>) -> Arc<Repository> {
        Arc::new(Repository::open(&self.reference(), &Policy::default(), credentials).unwrap())
    }
}

/// A server of raw bytes: the answers in order, one a connection, each cut off where it ends. TLS greetings are hung
/// up on without using an answer up. Gives the address and the requests' heads.
pub async fn raw(answers: Vec<Vec<u8>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&heads);
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 8192];
            let length = socket.read(&mut head).await.unwrap_or(0);
            if !head.starts_with(b"GET ") {
                continue;
            }
            log.lock().unwrap().push(String::from_utf8_lossy(&head[..length]).to_lowercase());
            let Some(answer) = answers.next() else { return };
            let _ = socket.write_all(&answer).await;
            let _ = socket.shutdown().await;
        }
    });
    (address, heads)
}

pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(http_body_util::Full::new(body.into())).unwrap()
}

pub fn digest(bytes: &[u8]) -> Digest {
    Digest::from_sha256(&Sha256::digest(bytes).into())
}

pub fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: digest(bytes),
        size: bytes.len() as u64,
        platform: None,
        annotations: None,
    }
}
