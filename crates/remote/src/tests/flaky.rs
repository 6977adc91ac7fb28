//! A registry of one blob that misbehaves as a test wants: cuts, lies, busy answers; and an account of what it sent.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use berth_spec::Reference;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{Client, Policy, Repository};

/// What to do with one request for the blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Serve,
    /// Hang up after so many bytes of the body.
    CutAfter(u64),
    /// These bytes in place of the blob's own, from the same place on.
    Serve2(Arc<Vec<u8>>),
    /// All of it with status 200, whatever range was asked for.
    IgnoreRange,
    /// A status line and headers without body.
    Answer(&'static str),
    /// Waits this long before each 64 KiB.
    Slow(u64),
}

/// A request for the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub number: usize,
    pub from: u64,
    /// Exclusive.
    pub to: u64,
}

pub struct Flaky {
    pub address: String,
    /// Bytes of bodies that went out.
    pub sent: Arc<AtomicU64>,
    pub asked: Arc<Mutex<Vec<Asked>>>,
}

type Decide = dyn Fn(Asked) -> Act + Send + Sync;

impl Flaky {
    pub async fn start(blob: Arc<Vec<u8>>, decide: impl Fn(Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sent, asked, count) =
            (Arc::<AtomicU64>::default(), Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicUsize>::default());
        let decide: Arc<Decide> = Arc::new(decide);
        let own = (Arc::clone(&sent), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (sent, asked) = own.clone();
                tokio::spawn(serve(socket, Arc::clone(&blob), Arc::clone(&decide), sent, asked, Arc::clone(&count)));
            }
        });
        Self { address, sent, asked }
    }

    pub fn repository(&self, client: &Client) -> Arc<Repository> {
        let reference = Reference::parse(&format!("{}/team/app:1", self.address)).unwrap();
        Arc::new(client.repository(&reference, &Policy::default(), None).unwrap())
    }
}

async fn serve(
    mut socket: TcpStream,
    blob: Arc<Vec<u8>>,
    decide: Arc<Decide>,
    sent: Arc<AtomicU64>,
    log: Arc<Mutex<Vec<Asked>>>,
    count: Arc<AtomicUsize>,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = socket.read_u8().await.ok()?;
        if head.is_empty() && byte != b'G' {
            return None;
        }
        head.push(byte);
    }
    let head = String::from_utf8(head).ok()?.to_lowercase();
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
    let size = blob.len() as u64;
    let (from, to) = match range.and_then(|range| range.split_once('-')) {
        Some((from, to)) => (from.parse().ok()?, to.parse().map_or(size, |last: u64| last + 1)),
        None => (0, size),
    };
    let asked = Asked { number: count.fetch_add(1, Ordering::Relaxed), from, to };
    log.lock().unwrap().push(asked);
    let act = decide(asked);
    let (from, to, is_part) = if act == Act::IgnoreRange { (0, size, false) } else { (from, to, range.is_some()) };
    if let Act::Answer(text) = act {
        socket.write_all(text.as_bytes()).await.ok()?;
        return socket.shutdown().await.ok();
    }
    let status = if is_part { "206 Partial Content" } else { "200 OK" };
    let mut answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n", to - from);
    if is_part {
        answer.push_str(&format!("Content-Range: bytes {from}-{}/{size}\r\n", to - 1));
    }
    answer.push_str("\r\n");
    socket.write_all(answer.as_bytes()).await.ok()?;
    let source = if let Act::Serve2(other) = &act { other } else { &blob };
    let end = if let Act::CutAfter(bytes) = act { to.min(from + bytes) } else { to };
    let mut at = from;
    while at < end {
        if let Act::Slow(wait_ms) = act {
            tokio::time::sleep(std::time::Duration::from_millis(wait_ms)).await;
        }
        let next = end.min(at + 64 * 1024);
        socket.write_all(&source[usize::try_from(at).ok()?..usize::try_from(next).ok()?]).await.ok()?;
        sent.fetch_add(next - at, Ordering::Relaxed);
        at = next;
    }
    socket.shutdown().await.ok()
}
