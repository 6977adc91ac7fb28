//! A small HTTP/1.1 client over a Unix socket: one connection per request, any body, and the raw stream after it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// The API version that the tests speak. Debian's dockerd 20.10 ends at 1.41, so it is the highest both know.
pub const VERSION: &str = "v1.41";
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client of one socket.
#[derive(Debug, Clone)]
pub struct Http {
    socket: PathBuf,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `message` of an error's body; empty when there is none.
    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Panics unless the status is `status`.
    #[track_caller]
    pub fn expect(self, status: u16) -> Response {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

impl Http {
    pub fn new(socket: &Path) -> Self {
        Http { socket: socket.to_path_buf() }
    }

    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], b"")
    }

    pub fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path, &[], b"")
    }

    pub fn head(&self, path: &str) -> Response {
        self.request("HEAD", path, &[], b"")
    }

    /// POST without a body.
    pub fn post(&self, path: &str) -> Response {
        self.request("POST", path, &[], b"")
    }

    /// POST of a JSON body.
    pub fn post_json(&self, path: &str, body: &Value) -> Response {
        self.request("POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }

    /// POST of an archive.
    pub fn post_tar(&self, path: &str, body: &[u8]) -> Response {
        self.request("POST", path, &[("Content-Type", "application/x-tar")], body)
    }

    /// Any request; a path that does not begin with a version or `/_ping` gets [`VERSION`].
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.try_request(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As [`Http::request`], for a daemon that may not answer.
    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        let mut stream = BufReader::new(self.send(method, path, headers, body)?);
        let (status, headers) = read_head(&mut stream)?;
        let body = if method == "HEAD" { Vec::new() } else { read_body(&mut stream, status, &headers)? };
        Ok(Response { status, headers, body })
    }

    /// Sends a request and gives the answer's head with the stream behind it: for streams without an end.
    pub fn stream(&self, method: &str, path: &str, body: &Value) -> (u16, Stream) {
        let headers = [("Content-Type", "application/json"), ("Connection", "Upgrade"), ("Upgrade", "tcp")];
        let headers = if method == "POST" { &headers[..] } else { &headers[..0] };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let stream = self.send(method, path, headers, body.as_bytes()).expect("the daemon answers");
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader).expect("an HTTP answer");
        let chunked = headers.iter().any(|(key, value)| key == "transfer-encoding" && value == "chunked");
        (status, Stream { reader, chunked, left: 0 })
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<UnixStream> {
        let versioned = path.starts_with("/v1.") || path.starts_with("/_ping");
        let prefix = if versioned { String::new() } else { format!("/{VERSION}") };
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut head =
            format!("{method} {prefix}{path} HTTP/1.1\r\nHost: engine\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(key, _)| *key == "Connection") {
            head += "Connection: close\r\n";
        }
        for (key, value) in headers {
            head += &format!("{key}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        // A daemon that refuses by the head alone may close before it read the body.
        stream.write_all(body).ok();
        Ok(stream)
    }
}

/// The stream behind an answer's head: chunks undone, or the raw bytes of a taken-over connection.
#[derive(Debug)]
pub struct Stream {
    reader: BufReader<UnixStream>,
    chunked: bool,
    left: usize,
}

impl Stream {
    /// Sends raw bytes to the other side (standard input of an attached process).
    pub fn write(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).expect("the stream takes input");
    }

    /// Says that no more input comes.
    pub fn close_input(&mut self) {
        self.reader.get_mut().shutdown(Shutdown::Write).expect("half-close");
    }

    /// Reads until the text read so far contains `part`; gives all of it.
    #[track_caller]
    pub fn until(&mut self, part: &str) -> String {
        let mut text = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&text).contains(part) {
            match self.read(&mut byte) {
                Ok(1) => text.push(byte[0]),
                end => panic!("{end:?} before {part:?}; got {:?}", String::from_utf8_lossy(&text)),
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Everything to the end of the stream.
    pub fn rest(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).expect("reading a stream");
        bytes
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !self.chunked {
            return self.reader.read(buffer);
        }
        if self.left == 0 {
            self.left = chunk_size(&mut self.reader)?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let wanted = buffer.len().min(self.left);
        let got = self.reader.read(&mut buffer[..wanted])?;
        self.left -= got;
        if self.left == 0 {
            self.reader.read_line(&mut String::new())?;
        }
        Ok(got)
    }
}

/// Docker's frames of a multiplexed stream, undone: (standard output, standard error).
pub fn demultiplex(mut bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some((head, rest)) = bytes.split_at_checked(8) {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        assert!(head[0] <= 2 && head[1..4] == [0, 0, 0] && rest.len() >= length, "a broken frame: {head:?}");
        if head[0] == 2 { &mut stderr } else { &mut stdout }.extend_from_slice(&rest[..length]);
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "half a frame at the end: {bytes:?}");
    (stdout, stderr)
}

type Head = (u16, Vec<(String, String)>);

fn read_head(reader: &mut impl BufRead) -> std::io::Result<Head> {
    let broken = || std::io::Error::new(std::io::ErrorKind::InvalidData, "no HTTP answer");
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((key, value)) = line.trim_end().split_once(':') else { break };
        headers.push((key.to_lowercase(), value.trim().to_owned()));
    }
    Ok((status, headers))
}

fn read_body(reader: &mut impl BufRead, status: u16, headers: &[(String, String)]) -> std::io::Result<Vec<u8>> {
    let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let mut body = Vec::new();
    if status == 204 || status == 304 {
        return Ok(body);
    }
    if header("transfer-encoding") == Some("chunked") {
        loop {
            let size = chunk_size(reader)?;
            reader.take(size as u64).read_to_end(&mut body)?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    match header("content-length").and_then(|length| length.parse().ok()) {
        Some(length) => reader.take(length).read_to_end(&mut body)?,
        None => reader.read_to_end(&mut body)?,
    };
    Ok(body)
}

fn chunk_size(reader: &mut impl BufRead) -> std::io::Result<usize> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(usize::from_str_radix(line.trim(), 16).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_fall_apart_into_their_streams() {
        let bytes =
            [&[1, 0, 0, 0, 0, 0, 0, 2][..], b"ab", &[2, 0, 0, 0, 0, 0, 0, 1], b"x", &[1, 0, 0, 0, 0, 0, 0, 1], b"c"];
        assert_eq!(demultiplex(&bytes.concat()), (b"abc".to_vec(), b"x".to_vec()));
    }
}
