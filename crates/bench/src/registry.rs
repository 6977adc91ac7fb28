//! The registry beside Debian's docker-registry: a large blob, small manifests, many pushes at once.
//!
//! The client is the same for both: plain HTTP over kept connections, which hashes nothing and writes nothing.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use berth_blackbox::command::is_installed;
use tempfile::TempDir;

use crate::report::{Report, median};

const ROUNDS: usize = 5;
const BLOB_BYTES: usize = 256 << 20;
const MANIFEST_THREADS: usize = 8;
const MANIFEST_TIME: Duration = Duration::from_secs(3);
const PUSHES: usize = 64;
const LAYER_BYTES: usize = 1 << 20;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry under test; ended when dropped.
struct Subject {
    label: &'static str,
    address: String,
    process: Child,
    _place: TempDir,
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(label: &'static str, command: impl FnOnce(&Path, &str) -> Result<Command>) -> Result<Subject> {
    let place = tempfile::Builder::new().prefix("berth-registry-").tempdir()?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut command = command(place.path(), &address)?;
    let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().with_context(|| label.to_owned())?;
    let subject = Subject { label, address, process, _place: place };
    for _ in 0..200 {
        if TcpStream::connect(&subject.address).is_ok() {
            return Ok(subject);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("{label} does not listen")
}

fn subjects(binary: &Path) -> Result<Vec<Subject>> {
    let mut subjects = vec![start("berth registry", |root, address| {
        let mut command = Command::new(binary);
        command.args(["registry", "serve", "--listen", address, "--root"]).arg(root);
        Ok(command)
    })?];
    if is_installed("docker-registry") {
        subjects.push(start("docker-registry", |root, address| {
            let file = root.join("config.yml");
            let text = format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: \
                 {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
                root.display()
            );
            std::fs::write(&file, text)?;
            let mut command = Command::new("docker-registry");
            command.arg("serve").arg(file);
            Ok(command)
        })?);
    }
    Ok(subjects)
}

/// A kept connection.
struct Connection {
    reader: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    fn new(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::with_capacity(256 * 1024, stream), host: address.to_owned() })
    }

    /// Sends a request, reads the answer to its end; gives `Location` and the bytes of the body.
    fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8], expected: u16) -> Result<(String, u64)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n{headers}\r\n",
            self.host,
            body.len()
        );
        self.reader.get_mut().write_all(head.as_bytes())?;
        self.reader.get_mut().write_all(body)?;
        let (mut line, mut status, mut location, mut length) = (String::new(), 0_u16, String::new(), 0_u64);
        loop {
            line.clear();
            ensure!(self.reader.read_line(&mut line)? > 0, "the connection was closed");
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
                status = rest.split(' ').next().unwrap_or_default().parse()?;
            }
            let (name, value) = text.split_once(": ").unwrap_or_default();
            if name.eq_ignore_ascii_case("location") {
                location = value.strip_prefix(&format!("http://{}", self.host)).unwrap_or(value).to_owned();
            }
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse()?;
            }
        }
        let mut buffer = vec![0; 256 * 1024];
        let mut left = length;
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left)?);
            let count = self.reader.read(&mut buffer[..wanted])?;
            ensure!(count > 0, "the connection was closed in a body");
            left -= count as u64;
        }
        ensure!(status == expected, "{method} {path}: {status}");
        Ok((location, length))
    }

    fn push_blob(&mut self, name: &str, bytes: &[u8]) -> Result<String> {
        let digest = sha256(bytes)?;
        let (location, _) = self.ask("POST", &format!("/v2/{name}/blobs/uploads/"), "", b"", 202)?;
        let kind = "Content-Type: application/octet-stream\r\n";
        let (location, _) = self.ask("PATCH", &location, kind, bytes, 202)?;
        let joint = if location.contains('?') { '&' } else { '?' };
        self.ask("PUT", &format!("{location}{joint}digest={digest}"), "", b"", 201)?;
        Ok(digest)
    }

    fn push_image(&mut self, name: &str, tag: &str, layer: &[u8]) -> Result<String> {
        let digest = self.push_blob(name, layer)?;
        let config = self.push_blob(name, b"{}")?;
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":{}}}]}}"#,
            layer.len()
        );
        let kind = format!("Content-Type: {MANIFEST}\r\n");
        self.ask("PUT", &format!("/v2/{name}/manifests/{tag}"), &kind, text.as_bytes(), 201)?;
        Ok(digest)
    }
}

/// By the program of the system: it is not what is measured.
fn sha256(bytes: &[u8]) -> Result<String> {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("a pipe")?.write_all(bytes)?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(format!("sha256:{}", text.split(' ').next().unwrap_or_default()))
}

fn noise(length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Measures both registries.
pub fn registries(binary: &Path, report: &mut Report) -> Result<()> {
    let subjects = subjects(&binary.canonicalize()?)?;
    let blob = noise(BLOB_BYTES)?;
    let mut digest = String::new();
    for subject in &subjects {
        digest = Connection::new(&subject.address)?.push_image("bench/big", "1", &blob)?;
    }
    let mut rates = vec![[const { Vec::new() }; 3]; subjects.len()];
    for round in 0..ROUNDS {
        let layers = (0..PUSHES).map(|_| noise(LAYER_BYTES)).collect::<Result<Vec<_>>>()?;
        for (subject, rates) in subjects.iter().zip(&mut rates) {
            let begin = Instant::now();
            let mut connection = Connection::new(&subject.address)?;
            let (_, length) = connection.ask("GET", &format!("/v2/bench/big/blobs/{digest}"), "", b"", 200)?;
            rates[0].push(length as f64 / f64::from(1 << 20) / begin.elapsed().as_secs_f64());
            rates[1].push(manifests(&subject.address)?);
            let begin = Instant::now();
            std::thread::scope(|scope| {
                let push = |(index, layer): (usize, &Vec<u8>)| {
                    let name = format!("bench/p{index}");
                    let address = &subject.address;
                    let layer = layer.clone();
                    scope.spawn(move || {
                        Connection::new(address)?.push_image(&name, &round.to_string(), &layer).map(drop)
                    })
                };
                let pushes: Vec<_> = layers.iter().enumerate().map(push).collect();
                pushes.into_iter().try_for_each(|push| push.join().expect("a push"))
            })?;
            rates[2].push(PUSHES as f64 / begin.elapsed().as_secs_f64());
        }
    }
    for (index, title, unit) in [
        (0, "Registry: pull of a blob of 256 MiB", "MiB/s"),
        (1, "Registry: small manifests from 8 connections", "requests per second"),
        (2, "Registry: 64 pushes at once, 1 MiB layers", "pushes per second"),
    ] {
        let rows: Vec<(String, f64)> = subjects
            .iter()
            .zip(&mut rates)
            .map(|(subject, rates)| (subject.label.to_owned(), median(&mut rates[index]).unwrap_or_default()))
            .collect();
        report.numbers(title, "More is better; Debian's docker-registry is the other.", unit, &rows);
    }
    Ok(())
}

fn manifests(address: &str) -> Result<f64> {
    let begin = Instant::now();
    let count: usize = std::thread::scope(|scope| {
        let ask = || -> Result<usize> {
            let mut connection = Connection::new(address)?;
            let accept = format!("Accept: {MANIFEST}\r\n");
            let mut count = 0;
            while begin.elapsed() < MANIFEST_TIME {
                connection.ask("GET", "/v2/bench/big/manifests/1", &accept, b"", 200)?;
                count += 1;
            }
            Ok(count)
        };
        let threads: Vec<_> = (0..MANIFEST_THREADS).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client")).sum::<Result<usize>>()
    })?;
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}
