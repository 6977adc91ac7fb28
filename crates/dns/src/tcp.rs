//! Questions by stream: rare, so a thread each, bounded in number and time (RFC 7766).

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use crate::PORT;
use crate::message::{Code, Query, Refusal, refuse};
use crate::zone::{Known, Zones};

/// How many streams are served at once.
const STREAMS_MAX: usize = 64;
/// How many questions one stream may bring.
const QUESTIONS_MAX: usize = 100;
/// How long either end may be silent.
const PATIENCE: Duration = Duration::from_secs(5);

static STREAMS: AtomicUsize = AtomicUsize::new(0);

/// Serves a stream of a container; beyond the bound it is closed.
pub fn serve(stream: TcpStream, container: String, zones: Arc<RwLock<Zones>>) {
    if STREAMS.fetch_add(1, Ordering::AcqRel) >= STREAMS_MAX {
        STREAMS.fetch_sub(1, Ordering::AcqRel);
        return;
    }
    let spawned = std::thread::Builder::new().stack_size(128 << 10).spawn(move || {
        // A client that breaks off is its own affair.
        let _ = talk(stream, &container, &zones);
        STREAMS.fetch_sub(1, Ordering::AcqRel);
    });
    if spawned.is_err() {
        STREAMS.fetch_sub(1, Ordering::AcqRel);
    }
}

fn talk(mut stream: TcpStream, container: &str, zones: &RwLock<Zones>) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for turn in 0..QUESTIONS_MAX {
        let bytes = read(&mut stream)?;
        let answer = match Query::parse(&bytes) {
            Err(Refusal::Silence) => return Ok(()),
            Err(Refusal::Code(id, code)) => refuse(id, code),
            Ok(query) => answer(&query, &bytes, container, zones, turn),
        };
        write(&mut stream, &answer)?;
    }
    Ok(())
}

fn answer(query: &Query, bytes: &[u8], container: &str, zones: &RwLock<Zones>, turn: usize) -> Vec<u8> {
    let known = {
        let zones = zones.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        zones.look_up(container, &query.name, query.kind, turn)
    };
    match known {
        Known::Answers(answers) => query.answer(Code::Ok, &answers, true),
        Known::Nobody => query.answer(Code::NoName, &[], true),
        Known::Ask(servers) => {
            let asked = servers.iter().find_map(|server| ask(*server, query, bytes).ok());
            asked.unwrap_or_else(|| query.answer(Code::Failure, &[], true))
        }
    }
}

fn ask(server: IpAddr, query: &Query, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&(server, PORT).into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write(&mut stream, bytes)?;
    let answer = read(&mut stream)?;
    if query.is_answered_by(&answer, query.id) { Ok(answer) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

fn read(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0u8; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn write(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(|_| std::io::ErrorKind::InvalidData)?;
    stream.write_all(&[&length.to_be_bytes()[..], bytes].concat())
}
