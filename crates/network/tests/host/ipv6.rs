//! Both families side by side: addresses, ways out, ports that the kernel leads in over IPv6.

use std::{
    io::Write as _,
    net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};

use berth_network::{AttachRequest, CreateRequest, Protocol, SubnetRequest};

use crate::stage::*;

fn dual(name: &str) -> CreateRequest {
    CreateRequest { name: name.to_owned(), enable_ipv6: true, ..CreateRequest::default() }
}

/// Answers each connection over IPv6 with the client's address.
fn serve6(container: &Container, port: u16) {
    let listener = container.inside(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip().to_string();
            let _ = stream.write_all(peer.as_bytes());
        }
    });
}

fn neighbour6() -> Container {
    let world = neighbour();
    run("ip", &["addr", "add", "fd66::1/64", "dev", "wan0", "nodad"]);
    world.inside(|| {
        run("ip", &["addr", "add", "fd66::2/64", "dev", "wan1", "nodad"]);
    });
    world
}

#[test]
fn containers_of_both_families_reach_each_other_and_the_world() {
    alone_async("ipv6::containers_of_both_families_reach_each_other_and_the_world", || async {
        let host = Host::new().await;
        let world = neighbour6();
        let network = host.networks.create(dual("six")).await.unwrap();
        let prefix = network.subnet6.clone().unwrap().subnet;
        assert!(prefix.first().octets()[0] == 0xfd && prefix.prefix() == 64, "{prefix}: a prefix of the engine's own");
        let second = host.networks.create(dual("seven")).await.unwrap().subnet6.unwrap().subnet;
        assert!(!second.overlaps(prefix) && second.first().octets()[..6] == prefix.first().octets()[..6]);
        let (one, two) = (Container::new(), Container::new());
        let on = |container: &Container| AttachRequest { network: "six".to_owned(), ..container.request(&[]) };
        host.networks.attach(on(&one)).await.unwrap();
        let second = host.networks.attach(on(&two)).await.unwrap();
        let two_ip = second.ipv6.unwrap();
        assert!(prefix.contains(two_ip) && second.prefix6 == 64);
        serve6(&two, 80);
        serve6(&world, 80);
        let own = host.networks.endpoint("six", &one.id).unwrap().ipv6.unwrap().to_string();
        assert_eq!(one.inside(|| ask((two_ip, 80))).unwrap(), own, "containers see each other's own addresses");
        ask((two_ip, 80)).expect("the host reaches a container");
        let seen = one.inside(|| ask(("fd66::2".parse::<Ipv6Addr>().unwrap(), 80))).unwrap();
        assert_eq!(seen, "fd66::1", "the world sees the host's address");
        world.inside(|| run("ip", &["-6", "route", "add", &prefix.to_string(), "via", "fd66::1"]));
        assert!(world.inside(|| ask((two_ip, 80))).is_err(), "an unpublished port is closed to neighbours");
        let names = host.networks.names(&host.networks.inspect("six").unwrap().network.id);
        assert!(names.iter().any(|(_, ip)| *ip == two_ip), "the names have both families");
        for container in [&one, &two] {
            host.networks.detach(&container.id).await.unwrap();
        }
        host.networks.dismantle().await.unwrap();
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding").unwrap(), "0\n");
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), "0\n");
        assert_eq!(links(), ["lo", "wan0"]);
    });
}

#[test]
fn the_kernel_leads_ports_in_over_ipv6() {
    alone_async("ipv6::the_kernel_leads_ports_in_over_ipv6", || async {
        let host = Host::new().await;
        let world = neighbour6();
        host.networks.create(dual("six")).await.unwrap();
        let (web, other) = (Container::new(), Container::new());
        let ports = [
            publish(80, Protocol::Tcp, None, Some(8080)),
            publish(53, Protocol::Udp, None, Some(5353)),
            publish(80, Protocol::Tcp, Some("::1"), Some(8081)),
            publish(80, Protocol::Tcp, Some("fd66::1"), Some(8082)),
        ];
        let on = |container: &Container, ports: &[berth_network::PortMapping]| AttachRequest {
            network: "six".to_owned(),
            ..container.request(ports)
        };
        let endpoint = host.networks.attach(on(&web, &ports)).await.unwrap();
        host.networks.attach(on(&other, &[])).await.unwrap();
        serve6(&web, 80);
        let echo = web.inside(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 53)).unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 100];
            while let Ok((length, peer)) = echo.recv_from(&mut buffer) {
                let _ = echo.send_to(&buffer[..length], peer);
            }
        });
        assert_eq!(endpoint.published.len(), 6, "{:?}", endpoint.published);
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let listening = run("ss", &["-H", "-6", "-l", "-n", "-t"]);
        assert!(!listening.contains("[::]:8080"), "a process listens for localhost at most: {listening}");
        assert_eq!(world.inside(|| ask(at("[fd66::1]:8080"))).unwrap(), "fd66::2", "the client's address is kept");
        ask(at("[fd66::1]:8080")).expect("the host's own address");
        for port in [8080, 8081] {
            let local = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port);
            tokio::task::spawn_blocking(move || ask(local)).await.unwrap().expect("localhost");
        }
        ask(at("127.0.0.1:8080")).expect("localhost over IPv4");
        assert!(world.inside(|| ask(at("[fd66::1]:8081"))).is_err(), "a port of ::1 is closed to neighbours");
        world.inside(|| ask(at("[fd66::1]:8082"))).expect("a port of one address");
        other.inside(|| ask(at("[fd66::1]:8080"))).expect("another container through the host");
        web.inside(|| ask(at("[fd66::1]:8080"))).expect("itself through the host");
        let asks = |to: SocketAddr| {
            let socket = UdpSocket::bind("[::]:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
            let mut buffer = [0; 10];
            socket.send_to(b"ping", to).is_ok() && socket.recv(&mut buffer).is_ok()
        };
        assert!(world.inside(|| asks(at("[fd66::1]:5353"))), "UDP from a neighbour");
        assert!(asks(at("[fd66::1]:5353")), "UDP from the host");
        host.networks.detach(&web.id).await.unwrap();
        assert!(world.inside(|| ask(at("[fd66::1]:8080"))).is_err(), "a withdrawn port is closed");
        host.networks.detach(&other.id).await.unwrap();
        host.networks.dismantle().await.unwrap();
    });
}

#[test]
fn networks_of_ipv6_alone_and_addresses_by_wish() {
    alone_async("ipv6::networks_of_ipv6_alone_and_addresses_by_wish", || async {
        let host = Host::new().await;
        let subnets = vec![SubnetRequest {
            subnet: Some("fd77::/64".to_owned()),
            gateway: Some("fd77::ffff".to_owned()),
            ..SubnetRequest::default()
        }];
        let network =
            host.networks.create(CreateRequest { disable_ipv4: true, subnets, ..dual("only") }).await.unwrap();
        assert_eq!((network.subnet, network.subnet6.unwrap().gateway.to_string()), (None, "fd77::ffff".to_owned()));
        let container = Container::new();
        let ports = [publish(80, Protocol::Tcp, None, Some(8080))];
        let request = || AttachRequest { network: "only".to_owned(), ..container.request(&ports) };
        let wrong = AttachRequest { ipv4: Some([10, 0, 0, 1].into()), ..request() };
        assert!(host.networks.attach(wrong).await.unwrap_err().to_string().contains("has none of its family"));
        let wish: Ipv6Addr = "fd77::8000:0:1".parse().unwrap();
        let endpoint = host.networks.attach(AttachRequest { ipv6: Some(wish), ..request() }).await.unwrap();
        assert_eq!((endpoint.ipv6, endpoint.ipv4), (Some(wish), None));
        assert_eq!(endpoint.published.len(), 1);
        serve6(&container, 80);
        let at: SocketAddr = "[fd77::ffff]:8080".parse().unwrap();
        ask_patiently(at).expect("the bridge's address");
        let local: SocketAddr = "[::1]:8080".parse().unwrap();
        tokio::task::spawn_blocking(move || ask(local)).await.unwrap().expect("localhost over IPv6");
        let routes = container.inside(|| run("ip", &["-6", "route"]));
        assert!(routes.contains("default via fd77::ffff"), "{routes}");
        assert_eq!(container.inside(|| run("ip", &["-4", "addr", "show", "eth0"])), "");
        host.networks.detach(&container.id).await.unwrap();
        host.networks.dismantle().await.unwrap();
    });
}
