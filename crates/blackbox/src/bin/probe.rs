//! A small static program that tests put where BusyBox has no applet: UDP both ways, and a plain HTTP question.
//!
//! ```text
//! probe http 127.0.0.1:8080        prints the body
//! probe udp-echo 5353              answers each datagram with itself
//! probe udp-ask 127.0.0.1:53 TEXT  sends TEXT and prints the answer
//! probe names 192.0.2.1            a name server that knows one address, for every name
//! ```

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["http", address] => http(address),
        ["udp-echo", port] => udp_echo(port),
        ["udp-ask", address, text] => udp_ask(address, text),
        ["names", address] => names(address),
        _ => Err(std::io::Error::other("usage: probe http|udp-echo|udp-ask|names …")),
    };
    match result {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn http(address: &str) -> std::io::Result<String> {
    let to = address.parse().map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("GET / HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned());
    body.ok_or_else(|| std::io::Error::other("no HTTP answer"))
}

fn udp_echo(port: &str) -> std::io::Result<String> {
    let socket = UdpSocket::bind(format!("0.0.0.0:{port}"))?;
    let mut buffer = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], from)?;
    }
}

/// Answers every question about an address with this one (RFC 1035, section 4.1); others with nothing.
fn names(address: &str) -> std::io::Result<String> {
    let address: std::net::Ipv4Addr = address.parse().map_err(std::io::Error::other)?;
    let socket = UdpSocket::bind("0.0.0.0:53")?;
    let mut buffer = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        // The name is skipped by its labels.
        let mut end = 12;
        while end < length && buffer[end] != 0 {
            end += 1 + usize::from(buffer[end]);
        }
        let Some(question) = buffer.get(12..end + 5).filter(|_| end + 5 <= length) else { continue };
        let is_address = question.ends_with(&[0, 1, 0, 1]);
        let mut answer = buffer[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
        answer.extend(question);
        if is_address {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(address.octets());
        }
        socket.send_to(&answer, from)?;
    }
}

fn udp_ask(address: &str, text: &str) -> std::io::Result<String> {
    let socket = UdpSocket::bind(if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" })?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.connect(address)?;
    socket.send(text.as_bytes())?;
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}
