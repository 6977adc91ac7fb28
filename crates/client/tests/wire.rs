//! The client against a server that says exactly what each test wants.

use berth_client::container::Attach;
use berth_client::{Body, Client, Error, Host, Origin, Request};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Requests as they came, each led by the number of its connection.
type Seen = Arc<Mutex<Vec<String>>>;

struct Server {
    socket: PathBuf,
    seen: Seen,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Answers each request with what `answer` makes of its head; `None` hands the connection to an echo.
    fn start(answer: fn(&str) -> Option<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let seen = Seen::default();
        let log = seen.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, number, log.clone(), answer));
            }
        });
        Self { socket, seen, _directory: directory }
    }

    fn client(&self, origin: Origin) -> Client {
        Client::new(Host::Unix(self.socket.clone()), origin, None)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: UnixStream, number: usize, seen: Seen, answer: fn(&str) -> Option<String>) {
    let mut pending = Vec::new();
    loop {
        let Some(head) = head(&mut stream, &mut pending).await else { return };
        let line = head.lines().next().unwrap_or("").trim_end_matches(" HTTP/1.1").to_owned();
        seen.lock().unwrap().push(format!("{number} {line}"));
        let Some(text) = answer(&head) else {
            let upgrade = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
            stream.write_all(upgrade.as_bytes()).await.unwrap();
            let mut all = pending;
            stream.read_to_end(&mut all).await.unwrap();
            stream.write_all(&all).await.unwrap();
            return;
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        if text.contains("Connection: close") {
            return;
        }
    }
}

/// One request's head; a body of known length is read and dropped.
async fn head(stream: &mut UnixStream, pending: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = pending.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(pending.drain(..end + 4).collect()).unwrap();
            let length =
                head.to_ascii_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
            while pending.len() < length.unwrap_or(0) {
                if stream.read_buf(pending).await.ok()? == 0 {
                    return None;
                }
            }
            pending.drain(..length.unwrap_or(0));
            return Some(head);
        }
        if stream.read_buf(pending).await.ok()? == 0 {
            return None;
        }
    }
}

fn answer(code: u16, body: &str) -> String {
    format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// An old daemon: it knows 1.41 at most.
fn old(head: &str) -> Option<String> {
    match head.contains("/v1.41/") {
        true => Some(answer(200, "{\"Id\":\"x\",\"Warnings\":null}")),
        false => {
            Some(answer(400, "{\"message\":\"client version 1.52 is too new. Maximum supported API version is 1.41\"}"))
        }
    }
}

#[tokio::test]
async fn an_older_daemon_is_asked_again_once() {
    let server = Server::start(old);
    let client = server.client(Origin::Explicit);
    for _ in 0..2 {
        let created = client.create("n", "", &serde_json::json!({})).await.unwrap();
        assert_eq!((created.id.as_str(), created.warnings.len()), ("x", 0));
    }
    let expected = [
        "0 POST /v1.55/containers/create?name=n",
        "0 POST /v1.41/containers/create?name=n",
        "0 POST /v1.41/containers/create?name=n",
    ];
    assert_eq!(server.seen(), expected);
    assert!(client.speaks("1.41") && !client.speaks("1.42"));
}

#[tokio::test]
async fn a_stream_is_not_sent_before_the_version_is_known() {
    let server = Server::start(old);
    let client = server.client(Origin::Explicit);
    client.load(Body::reader(std::io::empty()), true, &[]).await.unwrap();
    // What this plain server reads last is the end of the empty stream.
    assert_eq!(server.seen()[1..3], ["0 GET /v1.41/_ping", "0 POST /v1.41/images/load?quiet=1"]);
}

#[tokio::test]
async fn berths_own_daemon_gets_no_prefix_and_no_extra_call() {
    let server = Server::start(|_| Some(answer(204, "")));
    let client = server.client(Origin::Default);
    client.start("a/b c", "").await.unwrap();
    assert_eq!(server.seen(), ["0 POST /containers/a/b%20c/start"]);
}

#[tokio::test]
async fn errors_carry_the_daemons_text() {
    let server = Server::start(|head| {
        Some(match head {
            _ if head.contains("/gone/") => answer(404, "{\"message\":\"No such container: gone\"}\n"),
            _ if head.contains("/plain/") => answer(500, "boom\n"),
            _ if head.contains("/same/") => answer(304, ""),
            _ => answer(502, ""),
        })
    });
    let client = server.client(Origin::Default);
    let gone = client.kill("gone", "").await.unwrap_err();
    assert!(gone.is_not_found());
    assert_eq!(gone.to_string(), "Error response from daemon: No such container: gone");
    assert_eq!(client.kill("plain", "").await.unwrap_err().message(), "boom");
    assert!(client.kill("empty", "").await.unwrap_err().message().starts_with("request returned 502"));
    client.stop("same", "", None).await.unwrap();
}

#[tokio::test]
async fn a_closed_idle_connection_is_replaced() {
    let server = Server::start(|_| Some("HTTP/1.1 204 X\r\nConnection: close\r\n\r\n".into()));
    let client = server.client(Origin::Default);
    client.pause("a").await.unwrap();
    client.pause("b").await.unwrap();
    assert_eq!(server.seen(), ["0 POST /containers/a/pause", "1 POST /containers/b/pause"]);
}

#[tokio::test]
async fn documents_are_cut_anywhere() {
    let server =
        Server::start(|_| Some(answer(200, "{\"status\":\"a\"}\r\n{\"status\":\"b\"}{\"status\":\"\u{e9}\"}\n")));
    let client = server.client(Origin::Default);
    let mut documents = client.stream(Request::get("/events")).await.unwrap().documents();
    let mut seen = Vec::new();
    while let Some(document) = documents.next::<serde_json::Value>().await.unwrap() {
        seen.push(document["status"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, ["a", "b", "\u{e9}"]);
    let server = Server::start(|_| Some(answer(200, "{\"status\":")));
    let mut documents = server.client(Origin::Default).stream(Request::get("/x")).await.unwrap().documents();
    assert!(matches!(documents.next::<serde_json::Value>().await, Err(Error::Decode { .. })));
}

#[tokio::test]
async fn an_upgrade_closes_one_way_at_a_time() {
    let server = Server::start(|_| None);
    let client = server.client(Origin::Default);
    let attach = Attach { stream: true, stdin: true, stdout: true, ..Attach::default() };
    let mut hijacked = client.attach("c", &attach).await.unwrap();
    hijacked.input.write(b"hello").await.unwrap();
    hijacked.input.close().await.unwrap();
    let mut echoed = Vec::new();
    let mut buffer = [0; 3];
    loop {
        match hijacked.output.read(&mut buffer).await.unwrap() {
            0 => break,
            n => echoed.extend_from_slice(&buffer[..n]),
        }
    }
    assert_eq!(echoed, b"hello");
}

#[tokio::test]
async fn nobody_there_is_said() {
    let client = Client::new(Host::Unix("/nonexistent/sock".into()), Origin::Explicit, None);
    let text = client.info().await.unwrap_err().to_string();
    let expected = "Cannot connect to the berth daemon at unix:///nonexistent/sock. Is the berth daemon running?";
    assert_eq!(text, expected);
}
