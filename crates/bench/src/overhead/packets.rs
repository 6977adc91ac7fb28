//! The works of sockets: a stream of 1 GiB, and one byte and its answer 20,000 times.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

const STREAM_BYTES: u64 = 1 << 30;
const QUESTIONS: usize = 20_000;
/// What a client says first.
const STREAM: u8 = b's';
const ASK: u8 = b'a';

/// A work of sockets by its name; `address` is where [`serve`] runs, or none for a server in this process.
pub fn run(name: &str, address: Option<SocketAddr>) -> Result<Duration> {
    let address = match address {
        Some(address) => address,
        None => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?;
            std::thread::spawn(move || answer(&listener));
            address
        }
    };
    match name {
        "stream" => stream(address),
        "questions" => questions(address),
        other => bail!("there is no work {other}"),
    }
}

/// Serves on a port until killed.
pub fn serve(port: u16) -> Result<()> {
    answer(&TcpListener::bind(("0.0.0.0", port))?);
    Ok(())
}

fn answer(listener: &TcpListener) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        std::thread::spawn(move || {
            // A client that leaves early is the client's to report.
            let _ = answer_one(&mut stream);
        });
    }
}

fn answer_one(stream: &mut TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    if first == [ASK] {
        loop {
            stream.read_exact(&mut first)?;
            stream.write_all(&first)?;
        }
    }
    let mut buffer = vec![0; 256 << 10];
    let mut left = STREAM_BYTES;
    while left > 0 {
        let read = stream.read(&mut buffer)? as u64;
        ensure!(read > 0, "the stream ended early");
        left -= read;
    }
    stream.write_all(&first)?;
    Ok(())
}

fn connect(address: SocketAddr, wish: u8) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(3))?;
    stream.set_nodelay(true)?;
    stream.write_all(&[wish])?;
    Ok(stream)
}

fn stream(address: SocketAddr) -> Result<Duration> {
    let mut stream = connect(address, STREAM)?;
    let piece = vec![3; 256 << 10];
    let begin = Instant::now();
    for _ in 0..STREAM_BYTES / piece.len() as u64 {
        stream.write_all(&piece)?;
    }
    stream.read_exact(&mut [0])?;
    Ok(begin.elapsed())
}

fn questions(address: SocketAddr) -> Result<Duration> {
    let mut stream = connect(address, ASK)?;
    let mut byte = [9];
    let begin = Instant::now();
    for _ in 0..QUESTIONS {
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
    }
    Ok(begin.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_in_the_process_answers_both() {
        assert!(run("questions", None).expect("answers") > Duration::ZERO);
        assert!(run("nothing", None).is_err());
    }
}
