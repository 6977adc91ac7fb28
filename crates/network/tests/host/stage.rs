//! The stage: namespaces that stand for containers and neighbours, and questions asked from within them.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use berth_event::Bus;
use berth_network::{AttachRequest, Endpoint, Netns, NetworkConfig, Networks, PortMapping, Protocol};
use berth_record::Store;

pub const MARKER: &str = "BERTH_NETWORK_TEST_INSIDE";

/// Runs `body` in a process with a network namespace of its own.
pub fn alone(name: &str, body: impl FnOnce()) {
    if std::env::var_os(MARKER).is_some() {
        run("ip", &["link", "set", "lo", "up"]);
        return body();
    }
    let unshared = Command::new("unshare").args(["-n", "true"]).status();
    if !unshared.is_ok_and(|status| status.success()) {
        println!("skipped: no right to make network namespaces");
        return;
    }
    let status = Command::new("unshare")
        .arg("-n")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARKER, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed in its namespace");
}

pub fn alone_async<F: Future<Output = ()>>(name: &str, body: impl FnOnce() -> F) {
    alone(name, || tokio::runtime::Runtime::new().unwrap().block_on(body()));
}

pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A process in user and network namespaces of its own, as a container is.
pub struct Container {
    pub child: Child,
    pub id: String,
}

impl Container {
    pub fn new() -> Self {
        let child = Command::new("unshare").args(["-Urn", "sleep", "3600"]).stdout(Stdio::null()).spawn().unwrap();
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::fs::read_link(format!("/proc/{}/ns/net", child.id())).is_ok_and(|link| link == own) {
            assert!(Instant::now() < deadline, "the container's namespace does not come");
            std::thread::sleep(Duration::from_millis(2));
        }
        Self { child, id: berth_kit::id::generate() }
    }

    pub fn request(&self, ports: &[PortMapping]) -> AttachRequest {
        AttachRequest {
            ports: ports.to_vec(),
            ..AttachRequest::new(&self.id, &format!("c{}", &self.id[..6]), "bridge", Netns::Pid(self.child.id()))
        }
    }

    /// Runs `work` on a thread inside the container's network namespace.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", self.child.id())).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                berth_sys::namespace::join(namespace.as_fd(), berth_sys::namespace::bit::NETWORK).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    /// A TCP server that answers each connection with the client's address; stops with the test's process.
    pub fn serve(&self, port: u16) {
        let listener = self.inside(|| TcpListener::bind(("0.0.0.0", port)).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let peer = stream.peer_addr().unwrap().ip().to_string();
                let _ = stream.write_all(peer.as_bytes());
            }
        });
    }

    /// A UDP server that answers each datagram with itself.
    pub fn echo_udp(&self, port: u16) {
        let socket = self.inside(|| UdpSocket::bind(("0.0.0.0", port)).unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 100];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..length], peer);
            }
        });
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Host {
    pub networks: Networks,
    pub dir: tempfile::TempDir,
}

impl Host {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&dir).await;
        Self { networks, dir }
    }
}

pub async fn open(dir: &tempfile::TempDir) -> Networks {
    let store = Store::open(&dir.path().join("berth.db")).unwrap();
    let place = dir.path().join("relay");
    std::fs::create_dir_all(&place).unwrap();
    // In place of the process, in this namespace: it ends when nothing is relayed, and begins again.
    let relay = berth_network::relay::RelayProcess { exe: "/bin/true".into(), dir: place.clone(), is_between: false };
    std::thread::spawn(move || {
        while place.exists() {
            berth_network::relay::main(&place);
        }
    });
    let config = NetworkConfig { relay: Some(relay), ..NetworkConfig::default() };
    Networks::open(config, store, Bus::default()).await.unwrap()
}

pub fn publish(container_port: u16, protocol: Protocol, host_ip: Option<&str>, host_port: Option<u16>) -> PortMapping {
    PortMapping {
        container_port,
        protocol,
        host_ip: host_ip.map(|ip| ip.parse().unwrap()),
        host_ports: host_port.map(|port| port..=port),
    }
}

/// What a server answers, or why there is no connection.
pub fn ask(address: impl Into<SocketAddr>) -> Result<String, std::io::ErrorKind> {
    let mut stream =
        TcpStream::connect_timeout(&address.into(), Duration::from_millis(700)).map_err(|error| error.kind())?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|error| error.kind())?;
    Ok(text)
}

/// As [`ask`], with the time for a packet to be sent again.
pub fn ask_patiently(address: impl Into<SocketAddr>) -> Result<String, std::io::ErrorKind> {
    let mut stream =
        TcpStream::connect_timeout(&address.into(), Duration::from_millis(2500)).map_err(|error| error.kind())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|error| error.kind())?;
    Ok(text)
}

pub fn ask_udp(address: (IpAddr, u16)) -> bool {
    let local = if address.0.is_loopback() { "127.0.0.1:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(local).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    socket.connect(address).unwrap();
    let mut buffer = [0; 10];
    socket.send(b"ping").is_ok() && socket.recv(&mut buffer).is_ok_and(|length| &buffer[..length] == b"ping")
}

pub fn ip_of(endpoint: &Endpoint) -> Ipv4Addr {
    endpoint.ipv4.unwrap()
}

/// A neighbour of the host: a namespace with a link to it. The host is 10.66.0.1, the neighbour 10.66.0.2.
pub fn neighbour() -> Container {
    let neighbour = Container::new();
    let pid = neighbour.child.id().to_string();
    run("ip", &["link", "add", "wan0", "type", "veth", "peer", "name", "wan1", "netns", &pid]);
    run("ip", &["addr", "add", "10.66.0.1/24", "dev", "wan0"]);
    run("ip", &["link", "set", "wan0", "up"]);
    neighbour.inside(|| {
        run("ip", &["addr", "add", "10.66.0.2/24", "dev", "wan1"]);
        run("ip", &["link", "set", "wan1", "up"]);
        run("ip", &["link", "set", "lo", "up"]);
    });
    neighbour
}

pub fn links() -> Vec<String> {
    let text = run("ip", &["-o", "link"]);
    let name =
        |line: &str| line.split(": ").nth(1).unwrap_or_default().split('@').next().unwrap_or_default().to_owned();
    text.lines().map(name).collect()
}
