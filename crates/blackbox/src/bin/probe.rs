//! A small static program that tests put where BusyBox has no applet: UDP both ways, and a plain HTTP question.
//!
//! ```text
//! probe http 127.0.0.1:8080        prints the body
//! probe udp-echo 5353              answers each datagram with itself
//! probe udp-ask 127.0.0.1:53 TEXT  sends TEXT and prints the answer
//! probe names 192.0.2.1            a name server that knows one address, for every name
//! probe swap COUNT A B [C D]...    exchanges A and B (then C and D) so many times, 0 for ever
//! probe socket 38 5                makes a socket of a family and type; prints `made` or the errno
//! probe abstract                   connects to every abstract socket it can see; prints their names
//! probe calls 1000000              makes so many calls of getpid(2); prints nanoseconds a call
//! probe grab SECONDS               waits for a program of others in /proc and tries to overwrite it
//! probe hang FOLDER                mounts a file system there that never answers a question about a file
//! probe proxy 127.0.0.1:3128 FILE  a proxy for CONNECT, which notes in FILE who asked for what with which credentials
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, ExitCode};
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
        ["hang", folder] => hang(folder),
        ["swap", count, pairs @ ..] => swap(count, pairs),
        ["socket", family, kind] => socket(family, kind),
        ["abstract"] => abstract_sockets(),
        ["calls", count] => calls(count),
        ["grab", seconds] => grab(seconds),
        ["proxy", address, file] => proxy(address, file),
        _ => Err(std::io::Error::other(
            "usage: probe http|udp-echo|udp-ask|names|swap|socket|abstract|grab|hang|proxy …",
        )),
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

fn proxy(address: &str, file: &str) -> std::io::Result<String> {
    for client in TcpListener::bind(address)?.incoming() {
        let (client, file) = (client?, file.to_owned());
        std::thread::spawn(move || tunnel(client, &file));
    }
    Ok(String::new())
}

/// One tunnel (RFC 9110, section 9.3.6): a line `CONNECT host:port credentials` in the file, then bytes both ways.
fn tunnel(client: TcpStream, file: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut target, mut credentials) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        match line.trim().split_once(' ') {
            Some(("CONNECT", rest)) => target = rest.split(' ').next().unwrap_or_default().to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("proxy-authorization:") => {
                value.clone_into(&mut credentials)
            }
            _ => {}
        }
    }
    let mut log = File::options().create(true).append(true).open(file)?;
    writeln!(log, "CONNECT {target} {credentials}")?;
    let server = TcpStream::connect(&target)?;
    (&client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    let back = std::thread::spawn(move || {
        std::io::copy(&mut from, &mut to).ok();
        to.shutdown(std::net::Shutdown::Write).ok();
    });
    std::io::copy(&mut reader, &mut &server).ok();
    server.shutdown(std::net::Shutdown::Write).ok();
    back.join().ok();
    Ok(())
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

fn swap(count: &str, pairs: &[&str]) -> std::io::Result<String> {
    let count: u64 = count.parse().map_err(std::io::Error::other)?;
    let mut done = 0;
    while count == 0 || done < count {
        for pair in pairs.chunks_exact(2) {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(rustix::fs::CWD, pair[0], rustix::fs::CWD, pair[1], flags)?;
            done += 1;
        }
    }
    Ok(done.to_string())
}

fn socket(family: &str, kind: &str) -> std::io::Result<String> {
    let family = rustix::net::AddressFamily::from_raw(family.parse().map_err(std::io::Error::other)?);
    let kind = rustix::net::SocketType::from_raw(kind.parse().map_err(std::io::Error::other)?);
    Ok(match rustix::net::socket(family, kind, None) {
        Ok(_) => String::from("made"),
        Err(errno) => errno.raw_os_error().to_string(),
    })
}

fn abstract_sockets() -> std::io::Result<String> {
    let table = std::fs::read_to_string("/proc/net/unix")?;
    let names = table.lines().filter_map(|line| line.split_whitespace().nth(7)?.strip_prefix('@'));
    let answers = |name: &&str| {
        let address = rustix::net::SocketAddrUnix::new_abstract_name(name.as_bytes());
        let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None);
        address.and_then(|address| rustix::net::connect(&socket?, &address)).is_ok()
    };
    Ok(names.filter(answers).collect::<Vec<_>>().join(" "))
}

fn calls(count: &str) -> std::io::Result<String> {
    let count: u32 = count.parse().map_err(std::io::Error::other)?;
    let begun = std::time::Instant::now();
    for _ in 0..count {
        std::hint::black_box(rustix::process::getpid());
    }
    Ok((begun.elapsed().as_nanos() / u128::from(count.max(1))).to_string())
}

/// Whatever program but its own and BusyBox shows up in /proc: opened as soon as it is seen, then written to.
fn grab(seconds: &str) -> std::io::Result<String> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &str| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
    let known = [identity("/proc/self/exe")?, identity("/bin/busybox")?];
    let end = std::time::Instant::now() + Duration::from_secs(seconds.parse().map_err(std::io::Error::other)?);
    println!("waiting");
    while std::time::Instant::now() < end {
        for pid in 1..200 {
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
            let opened = rustix::fs::open(format!("/proc/{pid}/exe"), flags, rustix::fs::Mode::empty());
            let Ok(program) = opened else { continue };
            let here = format!("/proc/self/fd/{}", program.as_raw_fd());
            if !identity(&here).is_ok_and(|found| !known.contains(&found)) {
                continue;
            }
            // Its process may go on for a while, or make the mount writable first.
            let _ = rustix::mount::mount_remount(&here, rustix::mount::MountFlags::BIND, "");
            std::thread::sleep(Duration::from_millis(300));
            return Ok(match std::fs::OpenOptions::new().write(true).truncate(true).open(&here) {
                Ok(mut file) => file.write_all(b"overwritten").map(|()| String::from("overwritten"))?,
                Err(error) => format!("refused {}", error.raw_os_error().unwrap_or(0)),
            });
        }
    }
    Ok(String::from("nothing"))
}

/// A FUSE server (fuse(4), `linux/fuse.h`) whose root is an empty folder: it answers INIT, and GETATTR, STATFS and
/// ACCESS of the root. A look-up is taken and never answered, so whoever asked sleeps without end, deaf to SIGKILL.
fn hang(folder: &str) -> std::io::Result<String> {
    const LOOKUP: u32 = 1;
    const GETATTR: u32 = 3;
    const STATFS: u32 = 17;
    const INIT: u32 = 26;
    let mut fuse = File::options().read(true).write(true).open("/dev/fuse")?;
    let options = "fd=0,rootmode=40000,user_id=0,group_id=0,allow_other";
    let mut mount = Command::new("mount");
    mount.args(["-i", "-t", "fuse", "-o", options, "hang", folder]).stdin(fuse.try_clone()?);
    if !mount.status()?.success() {
        return Err(std::io::Error::other("mount failed"));
    }
    println!("mounted");
    let mut buffer = vec![0; 1 << 17];
    loop {
        let length = fuse.read(&mut buffer)?;
        if length < 40 {
            continue;
        }
        let (operation, unique) = (&buffer[4..8], buffer[8..16].to_vec());
        let operation = u32::from_ne_bytes(operation.try_into().map_err(std::io::Error::other)?);
        let node = u64::from_ne_bytes(buffer[16..24].try_into().map_err(std::io::Error::other)?);
        let (errno, body) = match operation {
            INIT => (0, numbers(&[7, 31, 0, 0, 0, 4096, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
            // Valid for a second; inode 1, a folder of mode 0755 with two links.
            GETATTR if node == 1 => {
                let (valid, attributes) = ([1, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                let tail = [0o040_755, 2, 0, 0, 0, 4096, 0];
                (0, numbers(&[&valid[..], &attributes[..], &tail[..]].concat()))
            }
            STATFS => (0, vec![0; 80]),
            LOOKUP => {
                println!("stuck");
                continue;
            }
            // FORGET and its like expect nothing; to the rest there is nothing to say.
            2 | 36 | 42 => continue,
            _ => (-38_i32, Vec::new()),
        };
        let mut answer = (16 + body.len() as u32).to_ne_bytes().to_vec();
        answer.extend(errno.to_ne_bytes());
        answer.extend(unique);
        answer.extend(body);
        fuse.write_all(&answer)?;
    }
}

fn numbers(list: &[u32]) -> Vec<u8> {
    list.iter().flat_map(|number| number.to_ne_bytes()).collect()
}
