//! A small static program that tests put where BusyBox has no applet: UDP both ways, and a plain HTTP question.
//!
//! ```text
//! probe http 127.0.0.1:8080        prints the body
//! probe udp-echo 5353              answers each datagram with itself
//! probe udp-ask 127.0.0.1:53 TEXT  sends TEXT and prints the answer
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
        _ => Err(std::io::Error::other("usage: probe http|udp-echo|udp-ask …")),
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

fn udp_ask(address: &str, text: &str) -> std::io::Result<String> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.connect(address)?;
    socket.send(text.as_bytes())?;
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}
