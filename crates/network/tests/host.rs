//! Networks on a real kernel. Each test runs in a process of its own, inside a network namespace of its own: the test
//! starts its own binary again under unshare(1). nft(8) and ip(8) judge what the engine did; the engine never calls
//! them.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use berth_event::Bus;
use berth_network::{
    AttachRequest, CreateRequest, Endpoint, Error, Netns, NetworkConfig, Networks, PortMapping, Protocol,
    SubnetRequest,
    driver::{self, Bridge},
    firewall::{self, Firewall, Nftables},
};
use berth_record::Store;

const MARKER: &str = "BERTH_NETWORK_TEST_INSIDE";

/// Runs `body` in a process with a network namespace of its own.
fn alone(name: &str, body: impl FnOnce()) {
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

fn alone_async<F: Future<Output = ()>>(name: &str, body: impl FnOnce() -> F) {
    alone(name, || tokio::runtime::Runtime::new().unwrap().block_on(body()));
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A process in user and network namespaces of its own, as a container is.
struct Container {
    child: Child,
    id: String,
}

impl Container {
    fn new() -> Self {
        let child = Command::new("unshare").args(["-Urn", "sleep", "600"]).stdout(Stdio::null()).spawn().unwrap();
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::fs::read_link(format!("/proc/{}/ns/net", child.id())).is_ok_and(|link| link == own) {
            assert!(Instant::now() < deadline, "the container's namespace does not come");
            std::thread::sleep(Duration::from_millis(2));
        }
        Self { child, id: berth_kit::id::generate() }
    }

    fn request(&self, ports: &[PortMapping]) -> AttachRequest {
        AttachRequest {
            container_id: self.id.clone(),
            container_name: format!("c{}", &self.id[..6]),
            network: "bridge".to_owned(),
            netns: Netns::Pid(self.child.id()),
            mac: None,
            ipv4: None,
            ports: ports.to_vec(),
            aliases: vec![],
        }
    }

    /// Runs `work` on a thread inside the container's network namespace.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
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
    fn serve(&self, port: u16) {
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
    fn echo_udp(&self, port: u16) {
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

struct Host {
    networks: Networks,
    dir: tempfile::TempDir,
}

impl Host {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let networks = open(&dir).await;
        Self { networks, dir }
    }
}

async fn open(dir: &tempfile::TempDir) -> Networks {
    let store = Store::open(&dir.path().join("berth.db")).unwrap();
    Networks::open(NetworkConfig::default(), store, Bus::default()).await.unwrap()
}

fn publish(container_port: u16, protocol: Protocol, host_ip: Option<&str>, host_port: Option<u16>) -> PortMapping {
    PortMapping {
        container_port,
        protocol,
        host_ip: host_ip.map(|ip| ip.parse().unwrap()),
        host_ports: host_port.map(|port| port..=port),
    }
}

/// What a server answers, or why there is no connection.
fn ask(address: impl Into<SocketAddr>) -> Result<String, std::io::ErrorKind> {
    let mut stream =
        TcpStream::connect_timeout(&address.into(), Duration::from_millis(700)).map_err(|error| error.kind())?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|error| error.kind())?;
    Ok(text)
}

fn ask_udp(address: (IpAddr, u16)) -> bool {
    let local = if address.0.is_loopback() { "127.0.0.1:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(local).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    socket.connect(address).unwrap();
    let mut buffer = [0; 10];
    socket.send(b"ping").is_ok() && socket.recv(&mut buffer).is_ok_and(|length| &buffer[..length] == b"ping")
}

fn ip_of(endpoint: &Endpoint) -> Ipv4Addr {
    endpoint.ipv4.unwrap()
}

/// A neighbour of the host: a namespace with a link to it. The host is 10.66.0.1, the neighbour 10.66.0.2.
fn neighbour() -> Container {
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

fn links() -> Vec<String> {
    let text = run("ip", &["-o", "link"]);
    let name =
        |line: &str| line.split(": ").nth(1).unwrap_or_default().split('@').next().unwrap_or_default().to_owned();
    text.lines().map(name).collect()
}

#[test]
fn nftables_keeps_the_contract() {
    alone("nftables_keeps_the_contract", || {
        firewall::contract::run(&Nftables::open("berth").unwrap());
        assert_eq!(run("nft", &["list", "ruleset"]), "");
    });
}

/// nft(8) reads the same rule file; the kernel must hold the same rules after both.
#[test]
fn rules_are_those_that_nft_makes_of_the_file() {
    alone("rules_are_those_that_nft_makes_of_the_file", || {
        let listing = || run("nft", &["list", "table", "inet", "berth"]);
        let firewall = Nftables::open("berth").unwrap();
        firewall.install(&firewall::Desired::default()).unwrap();
        let ours = listing();
        firewall.clear().unwrap();
        let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin.take().unwrap().write_all(firewall::RULES.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success(), "nft reads the rule file");
        assert_eq!(ours, listing());
    });
}

#[test]
fn drivers_keep_the_contract() {
    alone_async("drivers_keep_the_contract", || async {
        let host = Host::new().await;
        let container = Container::new();
        let network = host.networks.inspect("bridge").unwrap().network;
        let mut endpoint = berth_network::EndpointRecord {
            version: 1,
            id: berth_kit::id::generate(),
            network_id: network.id.clone(),
            container_id: container.id.clone(),
            container_name: "c".to_owned(),
            ifname: "eth0".to_owned(),
            host_ifname: String::new(),
            mac: [2, 0, 0, 0, 0, 1],
            ipv4: Some(network.subnet.as_ref().unwrap().subnet.at(9).unwrap()),
            is_gateway: true,
            aliases: vec![],
            ports: vec![],
        };
        endpoint.host_ifname = Bridge::host_ifname(&endpoint.id);
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", container.child.id())).unwrap();
        for driver in [&Bridge::open().unwrap() as &dyn driver::NetworkDriver, &driver::Null::NONE, &driver::Null::HOST]
        {
            driver::contract::run(driver, &network, &endpoint, namespace.as_fd());
        }
        assert_eq!(links(), ["lo"]);
    });
}

#[test]
fn a_daemon_without_containers_changes_nothing() {
    alone_async("a_daemon_without_containers_changes_nothing", || async {
        let host = Host::new().await;
        let names: Vec<_> = host.networks.list().into_iter().map(|network| network.name).collect();
        assert_eq!(names, ["bridge", "host", "none"]);
        assert_eq!(links(), ["lo"]);
        assert_eq!(run("nft", &["list", "ruleset"]), "");
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), "0\n");
        let again = open(&host.dir).await;
        assert_eq!(again.list(), host.networks.list(), "ids are stable");
    });
}

#[test]
fn containers_reach_the_host_each_other_and_the_world() {
    alone_async("containers_reach_the_host_each_other_and_the_world", || async {
        let host = Host::new().await;
        let world = neighbour();
        let (one, two) = (Container::new(), Container::new());
        let first = host.networks.attach(one.request(&[])).await.unwrap();
        let second = host.networks.attach(two.request(&[])).await.unwrap();
        assert_eq!((ip_of(&first).to_string().as_str(), first.prefix), ("172.17.0.2", 16));
        assert_eq!(first.mac, "02:42:ac:11:00:02");
        assert_eq!(ip_of(&second).to_string(), "172.17.0.3");
        two.serve(80);
        world.serve(80);
        let seen = one.inside(|| ask((ip_of(&second), 80))).unwrap();
        assert_eq!(seen, "172.17.0.2", "containers see each other's own addresses");
        assert_eq!(ask((ip_of(&second), 80)).unwrap(), "172.17.0.1", "the host reaches a container");
        let seen = one.inside(|| ask(([10, 66, 0, 2], 80))).unwrap();
        assert_eq!(seen, "10.66.0.1", "the world sees the host's address");
        let loopback = one.inside(|| run("ip", &["-o", "link", "show", "lo"]));
        assert!(loopback.contains(",UP"), "{loopback}");
        let inet6 = one.inside(|| run("ip", &["-6", "-o", "addr", "show", "dev", "eth0"]));
        assert_eq!(inet6, "", "no link-local address");
        // Without the rules a router would let the neighbour in.
        world.inside(|| run("ip", &["route", "add", "172.17.0.0/16", "via", "10.66.0.1"]));
        assert!(world.inside(|| ask((ip_of(&second), 80))).is_err(), "an unpublished port is closed to neighbours");
        host.networks.detach(&one.id).await.unwrap();
        host.networks.detach(&two.id).await.unwrap();
        host.networks.settle().await;
        assert_eq!(links(), ["lo", "wan0", "berth0"]);
        host.networks.dismantle().await.unwrap();
        assert_eq!(links(), ["lo", "wan0"]);
        assert_eq!(run("nft", &["list", "ruleset"]), "");
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), "0\n");
    });
}

#[test]
fn published_ports_are_reached_from_everywhere_they_should() {
    alone_async("published_ports_are_reached_from_everywhere_they_should", || async {
        let host = Host::new().await;
        let world = neighbour();
        let (web, other) = (Container::new(), Container::new());
        let ports = [
            publish(80, Protocol::Tcp, None, Some(8080)),
            publish(53, Protocol::Udp, None, Some(5353)),
            publish(80, Protocol::Tcp, Some("127.0.0.1"), Some(8081)),
            publish(80, Protocol::Tcp, Some("10.66.0.1"), Some(8082)),
            publish(80, Protocol::Tcp, None, None),
        ];
        let endpoint = host.networks.attach(web.request(&ports)).await.unwrap();
        host.networks.attach(other.request(&[])).await.unwrap();
        let any = endpoint.published.iter().rfind(|port| port.host_ip.is_ipv4()).unwrap().host_port;
        web.serve(80);
        web.echo_udp(53);

        assert_eq!(ask(([127, 0, 0, 1], 8080)).unwrap(), "172.17.0.1", "localhost");
        assert_eq!(ask(([127, 0, 0, 1], any)).unwrap(), "172.17.0.1", "localhost, any port");
        ask(([10, 66, 0, 1], 8080)).expect("the host's own address");
        ask(([172, 17, 0, 1], 8080)).expect("the bridge's address");
        assert_eq!(world.inside(|| ask(([10, 66, 0, 1], 8080))).unwrap(), "10.66.0.2", "the client's address is kept");
        other.inside(|| ask(([10, 66, 0, 1], 8080))).expect("another container through the host");
        web.inside(|| ask(([10, 66, 0, 1], 8080))).expect("itself through the host");
        web.inside(|| ask(([172, 17, 0, 1], 8080))).expect("itself through the bridge");
        assert!(ask_udp(([127, 0, 0, 1].into(), 5353)), "UDP by localhost");
        assert!(world.inside(|| ask_udp(([10, 66, 0, 1].into(), 5353))), "UDP from a neighbour");

        ask(([127, 0, 0, 1], 8081)).expect("a port of 127.0.0.1 by localhost");
        assert!(ask(([10, 66, 0, 1], 8081)).is_err(), "a port of 127.0.0.1 has no other address");
        world.inside(|| {
            run("ip", &["route", "add", "127.0.0.1/32", "via", "10.66.0.1", "table", "9"]);
            assert!(ask(([10, 66, 0, 1], 8081)).is_err(), "a port of 127.0.0.1 is closed to neighbours");
        });
        world.inside(|| ask(([10, 66, 0, 1], 8082))).expect("a port of one address");
        assert!(ask(([127, 0, 0, 1], 8082)).is_err(), "a port of one address has no other");
        let six: SocketAddr = "[::1]:8080".parse().unwrap();
        tokio::task::spawn_blocking(move || ask(six)).await.unwrap().expect("localhost over IPv6");

        host.networks.detach(&web.id).await.unwrap();
        assert!(ask(([127, 0, 0, 1], 8080)).is_err(), "a withdrawn port is closed");
        assert!(tokio::task::spawn_blocking(move || ask(six)).await.unwrap().is_err(), "its relay too");
        host.networks.dismantle().await.unwrap();
    });
}

/// route_localnet opens 127.0.0.0/8 of the host to its bridges; the rules close it again.
#[test]
fn the_host_s_loopback_is_closed_to_containers_and_neighbours() {
    alone_async("the_host_s_loopback_is_closed_to_containers_and_neighbours", || async {
        let host = Host::new().await;
        let world = neighbour();
        let container = Container::new();
        host.networks
            .attach(container.request(&[publish(80, Protocol::Tcp, Some("127.0.0.1"), Some(8081))]))
            .await
            .unwrap();
        container.serve(80);
        let listener = TcpListener::bind("127.0.0.1:7777").unwrap();
        let port_of = |who: &Container, port: u16, gateway: &str, link: &str| {
            who.inside(|| {
                let _ = std::fs::write(format!("/proc/sys/net/ipv4/conf/{link}/route_localnet"), "1");
                run("ip", &["addr", "flush", "dev", "lo"]);
                let _ = Command::new("ip").args(["route", "del", "local", "127.0.0.0/8", "table", "local"]).status();
                let _ =
                    Command::new("ip").args(["route", "replace", "127.0.0.0/8", "via", gateway, "dev", link]).status();
                ask(([127, 0, 0, 1], port))
            })
        };
        assert!(port_of(&container, 7777, "172.17.0.1", "eth0").is_err(), "a server on the host's loopback");
        assert!(port_of(&world, 8081, "10.66.0.1", "wan1").is_err(), "a port of 127.0.0.1, by a forged route");
        drop(listener);
        ask(([127, 0, 0, 1], 8081)).expect("the host itself is let in");
        host.networks.dismantle().await.unwrap();
    });
}

/// A client that never pauses keeps its path in the kernel; it must follow the port to the next container.
#[test]
fn a_udp_client_follows_its_port_to_the_next_container() {
    alone_async("a_udp_client_follows_its_port_to_the_next_container", || async {
        let host = Host::new().await;
        let (first, second) = (Container::new(), Container::new());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        let asks = || {
            let mut buffer = [0; 10];
            // The answer to a datagram that nobody took may come first: connection refused.
            (0..2).any(|_| {
                client.send_to(b"ping", "127.0.0.1:5353").is_ok() && client.recv(&mut buffer).is_ok_and(|len| len == 4)
            })
        };
        assert!(!asks(), "nobody is there yet");
        for container in [&first, &second] {
            container.echo_udp(53);
            host.networks.attach(container.request(&[publish(53, Protocol::Udp, None, Some(5353))])).await.unwrap();
            assert!(asks(), "the published container answers");
            host.networks.detach(&container.id).await.unwrap();
            assert!(!asks(), "nobody answers after it has left");
        }
    });
}

#[test]
fn ports_that_are_held_are_refused_by_name() {
    alone_async("ports_that_are_held_are_refused_by_name", || async {
        let host = Host::new().await;
        let (one, two) = (Container::new(), Container::new());
        host.networks.attach(one.request(&[publish(80, Protocol::Tcp, None, Some(8080))])).await.unwrap();
        let before = links();
        let wanted = [publish(81, Protocol::Tcp, None, Some(9090)), publish(80, Protocol::Tcp, None, Some(8080))];
        let error = host.networks.attach(two.request(&wanted)).await.unwrap_err().to_string();
        assert!(error.starts_with("Bind for 0.0.0.0:8080 failed: port is already allocated"), "{error}");
        assert!(error.contains(&format!("c{}", &one.id[..6])), "{error}");
        let listener = TcpListener::bind("0.0.0.0:7000").unwrap();
        let busy = [publish(80, Protocol::Tcp, None, Some(7000))];
        let error = host.networks.attach(two.request(&busy)).await.unwrap_err();
        assert!(matches!(error, Error::PortInUse { port: 7000, .. }), "{error}");
        drop(listener);
        assert_eq!(links(), before, "nothing half-made is left");
        assert!(host.networks.endpoints(&two.id).is_empty());
        host.networks.attach(two.request(&busy)).await.unwrap();
        let twice = host.networks.attach(two.request(&[])).await.unwrap_err();
        assert!(matches!(twice, Error::AlreadyConnected { .. }), "{twice}");
    });
}

#[test]
fn a_namespace_that_is_gone_leaves_nothing_behind() {
    alone_async("a_namespace_that_is_gone_leaves_nothing_behind", || async {
        let host = Host::new().await;
        let mut gone = Container::new();
        let request = gone.request(&[publish(80, Protocol::Tcp, None, Some(8080))]);
        gone.child.kill().unwrap();
        gone.child.wait().unwrap();
        assert!(matches!(host.networks.attach(request).await, Err(Error::Namespace { .. })));
        assert_eq!(host.networks.inspect("bridge").unwrap().endpoints.len(), 0);
        let next = Container::new();
        let endpoint =
            host.networks.attach(next.request(&[publish(80, Protocol::Tcp, None, Some(8080))])).await.unwrap();
        assert_eq!(ip_of(&endpoint).to_string(), "172.17.0.2");
    });
}

#[test]
fn rules_that_somebody_flushes_are_back_within_a_second() {
    alone_async("rules_that_somebody_flushes_are_back_within_a_second", || async {
        let host = Host::new().await;
        let web = Container::new();
        host.networks.attach(web.request(&[publish(80, Protocol::Tcp, None, Some(8080))])).await.unwrap();
        web.serve(80);
        for command in [
            &["flush", "ruleset"][..],
            &["flush", "chain", "inet", "berth", "publish"],
            &["flush", "map", "inet", "berth", "published"],
            &["delete", "table", "inet", "berth"],
        ] {
            ask(([127, 0, 0, 1], 8080)).expect("before");
            run("nft", command);
            tokio::time::sleep(Duration::from_millis(900)).await;
            ask(([127, 0, 0, 1], 8080)).unwrap_or_else(|error| panic!("after nft {command:?}: {error}"));
        }
        run("nft", &["add", "table", "inet", "foreign"]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(run("nft", &["list", "tables"]).contains("foreign"), "others' tables are not touched");
        host.networks.dismantle().await.unwrap();
    });
}

#[test]
fn a_bridge_deleted_by_hand_comes_back_with_the_next_container() {
    alone_async("a_bridge_deleted_by_hand_comes_back_with_the_next_container", || async {
        let host = Host::new().await;
        let (one, two) = (Container::new(), Container::new());
        host.networks.attach(one.request(&[])).await.unwrap();
        run("ip", &["link", "del", "berth0"]);
        host.networks.attach(two.request(&[publish(80, Protocol::Tcp, None, Some(8080))])).await.unwrap();
        two.serve(80);
        ask(([127, 0, 0, 1], 8080)).unwrap();
    });
}

#[test]
fn recovery_keeps_the_living_and_sweeps_the_rest() {
    alone_async("recovery_keeps_the_living_and_sweeps_the_rest", || async {
        let host = Host::new().await;
        let (living, dead) = (Container::new(), Container::new());
        let kept = host.networks.attach(living.request(&[publish(80, Protocol::Tcp, None, Some(8080))])).await.unwrap();
        host.networks.attach(dead.request(&[publish(80, Protocol::Tcp, None, Some(8081))])).await.unwrap();
        living.serve(80);
        let dir = host.dir;
        drop(host.networks);
        ask(([127, 0, 0, 1], 8080)).expect("published ports outlive the daemon");
        run("ip", &["link", "add", "bv0123456789ab", "type", "veth", "peer", "name", "lost"]);
        run("ip", &["link", "set", "bv0123456789ab", "master", "berth0"]);
        run("nft", &["delete", "table", "inet", "berth"]);

        let networks = open(&dir).await;
        for _ in 0..2 {
            networks.recover(std::slice::from_ref(&living.id)).await.unwrap();
            assert_eq!(links(), ["lo", "berth0", &Bridge::host_ifname(&kept.endpoint_id)]);
        }
        ask(([127, 0, 0, 1], 8080)).expect("a living container's port");
        assert!(ask(([127, 0, 0, 1], 8081)).is_err(), "a dead container's port");
        assert!(networks.endpoints(&dead.id).is_empty());
        let next = Container::new();
        let endpoint = networks.attach(next.request(&[])).await.unwrap();
        assert_eq!(ip_of(&endpoint).to_string(), "172.17.0.3", "a dead container's address is free");
        networks.dismantle().await.unwrap();
    });
}

#[test]
fn networks_of_one_s_own_are_isolated_from_each_other() {
    alone_async("networks_of_one_s_own_are_isolated_from_each_other", || async {
        let host = Host::new().await;
        let (one, two, three) = (Container::new(), Container::new(), Container::new());
        let create = |name: &str, internal, icc: &str| CreateRequest {
            name: name.to_owned(),
            internal,
            options: [("com.docker.network.bridge.enable_icc".to_owned(), icc.to_owned())].into(),
            ..CreateRequest::default()
        };
        host.networks.create(create("front", false, "true")).await.unwrap();
        host.networks.create(create("quiet", false, "false")).await.unwrap();
        host.networks.create(create("closed", true, "true")).await.unwrap();
        let on = |container: &Container, network: &str| AttachRequest {
            network: network.to_owned(),
            ..container.request(&[])
        };
        let front = host.networks.attach(on(&one, "front")).await.unwrap();
        host.networks.attach(on(&two, "quiet")).await.unwrap();
        let quiet = host.networks.attach(on(&three, "quiet")).await.unwrap();
        for container in [&one, &three] {
            container.serve(80);
        }
        assert!(two.inside(|| ask((ip_of(&front), 80))).is_err(), "another network");
        assert_eq!(front.gateway.unwrap().to_string(), "172.18.0.1");
        assert!(two.inside(|| ask((ip_of(&quiet), 80))).is_err(), "a neighbour on a network with enable_icc=false");
        ask((ip_of(&quiet), 80)).expect("the host reaches it all the same");
        let closed = host.networks.attach(on(&two, "closed")).await.unwrap();
        assert_eq!(closed.ifname, "eth1");
        host.networks.attach(on(&one, "closed")).await.unwrap();
        assert_eq!(
            two.inside(|| ask((host.networks.endpoint("closed", &one.id).unwrap().ipv4.unwrap(), 80)))
                .unwrap()
                .as_str(),
            closed.ipv4.unwrap().to_string()
        );
        let routes = three.inside(|| run("ip", &["route"]));
        assert!(routes.contains(&format!("default via {}", quiet.gateway.unwrap())), "{routes}");
        assert!(matches!(host.networks.remove("front").await, Err(Error::InUse { .. })));
        for container in [&one, &two, &three] {
            host.networks.detach(&container.id).await.unwrap();
        }
        let mut removed = host.networks.prune(|_| true).await.unwrap();
        removed.sort();
        assert_eq!(removed, ["closed", "front", "quiet"]);
        assert_eq!(host.networks.list().len(), 3);
        assert_eq!(links().iter().filter(|name| name.starts_with("br-")).count(), 0);
        let elements = run("nft", &["list", "set", "inet", "berth", "bridges"]);
        assert!(elements.contains("berth0") && !elements.contains("br-"), "{elements}");
    });
}

#[test]
fn bad_networks_are_refused_by_field() {
    alone_async("bad_networks_are_refused_by_field", || async {
        let host = Host::new().await;
        run("ip", &["link", "add", "taken", "type", "veth", "peer", "name", "taken1"]);
        run("ip", &["addr", "add", "172.18.0.9/16", "dev", "taken"]);
        let subnet = |subnet: &str, gateway: Option<&str>, range: Option<&str>| CreateRequest {
            name: "net".to_owned(),
            subnets: vec![SubnetRequest {
                subnet: Some(subnet.to_owned()),
                gateway: gateway.map(str::to_owned),
                ip_range: range.map(str::to_owned),
                ..SubnetRequest::default()
            }],
            ..CreateRequest::default()
        };
        let named = |name: &str| CreateRequest { name: name.to_owned(), ..CreateRequest::default() };
        let driver = |driver: &str| CreateRequest { driver: Some(driver.to_owned()), ..named("net") };
        for (request, words) in [
            (named("bridge"), "pre-defined"),
            (named("a/b"), "invalid network name"),
            (named(""), "invalid network name"),
            (driver("nonsense"), "could not find plugin nonsense"),
            (driver("macvlan"), "not built"),
            (driver("host"), "only one instance"),
            (subnet("10.0.0.0", None, None), "IPAM.Config.Subnet"),
            (subnet("10.0.0.0/31", None, None), "/30 or larger"),
            (subnet("10.0.0.0/24", Some("10.0.1.1"), None), "IPAM.Config.Gateway"),
            (subnet("10.0.0.0/24", Some("10.0.0.255"), None), "broadcast"),
            (subnet("10.0.0.0/24", None, Some("10.1.0.0/28")), "IPAM.Config.IPRange"),
            (subnet("172.17.8.0/24", None, None), "Pool overlaps"),
            (subnet("fd00::/64", None, None), "IPv6"),
        ] {
            let error = host.networks.create(request).await.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let first = host.networks.create(named("net")).await.unwrap();
        assert_eq!(first.subnet.unwrap().subnet.to_string(), "172.19.0.0/16", "the host's own subnet is passed over");
        assert!(matches!(host.networks.create(named("net")).await, Err(Error::NameTaken { .. })));
        assert!(matches!(host.networks.remove("host").await, Err(Error::Predefined { .. })));
        assert!(matches!(host.networks.remove("nothing").await, Err(Error::NotFound { .. })));
    });
}

#[test]
fn none_and_host_have_their_endpoints() {
    alone_async("none_and_host_have_their_endpoints", || async {
        let host = Host::new().await;
        let container = Container::new();
        let request = AttachRequest { network: "none".to_owned(), ..container.request(&[]) };
        let endpoint = host.networks.attach(request).await.unwrap();
        assert_eq!(endpoint.ipv4, None);
        assert!(container.inside(|| run("ip", &["-o", "link", "show", "lo"])).contains(",UP"));
        assert_eq!(links(), ["lo"], "nothing on the host");
        assert_eq!(host.networks.inspect("none").unwrap().endpoints.len(), 1);
        let on_host = AttachRequest { network: "host".to_owned(), ..Container::new().request(&[]) };
        host.networks.attach(on_host).await.unwrap();
        assert_eq!(links(), ["lo"]);
    });
}

/// How long a container waits for its network. Prints; fails only far beyond the aim, since machines differ.
#[test]
fn attach_is_quick_and_leaves_no_trace() {
    alone_async("attach_is_quick_and_leaves_no_trace", || async {
        let host = Host::new().await;
        let containers: Vec<_> = (0..30).map(|_| Container::new()).collect();
        let (mut attach, mut detach) = (Vec::new(), Vec::new());
        for (number, container) in (0u16..).zip(&containers) {
            let ports = [publish(80, Protocol::Tcp, None, Some(20000 + number))];
            let start = Instant::now();
            host.networks.attach(container.request(&ports)).await.unwrap();
            attach.push(start.elapsed());
        }
        for container in &containers {
            let start = Instant::now();
            host.networks.detach(&container.id).await.unwrap();
            detach.push(start.elapsed());
        }
        let start = Instant::now();
        let again = AttachRequest { container_id: "again".to_owned(), ..containers[0].request(&[]) };
        containers[0].inside(|| run("ip", &["link", "del", "eth0"]));
        let begun = start.elapsed();
        host.networks.attach(again).await.unwrap();
        println!("attach while links go: {:?}", start.elapsed() - begun);
        host.networks.detach("again").await.unwrap();
        host.networks.settle().await;
        attach.sort();
        detach.sort();
        println!("attach with a port: median {:?}, longest {:?}", attach[15], attach[29]);
        println!("detach: median {:?}, longest {:?}", detach[15], detach[29]);
        assert!(attach[15] < Duration::from_millis(50));
        assert_eq!(links(), ["lo", "berth0"]);
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
        assert!(open < 60, "{open} descriptors are open");
        let rules = run("nft", &["list", "map", "inet", "berth", "published"]);
        assert!(!rules.contains("elements"), "{rules}");
    });
}
