//! Published ports: who reaches them, who does not, who holds them.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    process::Command,
    time::Duration,
};

use berth_network::{Error, Protocol};

use crate::stage::*;

#[test]
fn published_ports_are_reached_from_everywhere_they_should() {
    alone_async("ports::published_ports_are_reached_from_everywhere_they_should", || async {
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
    alone_async("ports::the_host_s_loopback_is_closed_to_containers_and_neighbours", || async {
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
    alone_async("ports::a_udp_client_follows_its_port_to_the_next_container", || async {
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
    alone_async("ports::ports_that_are_held_are_refused_by_name", || async {
        let host = Host::new().await;
        let (one, two) = (Container::new(), Container::new());
        host.networks.attach(one.request(&[publish(80, Protocol::Tcp, None, Some(8080))])).await.unwrap();
        let before = links();
        let wanted = [publish(81, Protocol::Tcp, None, Some(9090)), publish(80, Protocol::Tcp, None, Some(8080))];
        let error = host.networks.attach(two.request(&wanted)).await.unwrap_err().to_string();
        assert!(error.contains("): Bind for 0.0.0.0:8080 failed: port is already allocated"), "{error}");
        assert!(error.contains(&format!("c{}", &one.id[..6])), "{error}");
        let listener = TcpListener::bind("0.0.0.0:7000").unwrap();
        let busy = [publish(80, Protocol::Tcp, None, Some(7000))];
        let error = host.networks.attach(two.request(&busy)).await.unwrap_err();
        let Error::Publish { source, .. } = &error else { panic!("{error}") };
        assert!(matches!(**source, Error::PortInUse { port: 7000, .. }), "{error}");
        assert!(error.to_string().contains("0.0.0.0:7000/tcp"), "{error}");
        drop(listener);
        assert_eq!(links(), before, "nothing half-made is left");
        assert!(host.networks.endpoints(&two.id).is_empty());
        host.networks.attach(two.request(&busy)).await.unwrap();
        let twice = host.networks.attach(two.request(&[])).await.unwrap_err();
        assert!(matches!(twice, Error::AlreadyConnected { .. }), "{twice}");
    });
}

#[test]
fn ports_of_a_running_container_come_and_go() {
    alone_async("ports::ports_of_a_running_container_come_and_go", || async {
        let host = Host::new().await;
        let web = Container::new();
        host.networks.attach(web.request(&[publish(80, Protocol::Tcp, None, Some(8080))])).await.unwrap();
        web.serve(80);
        // A connection that is kept open over all changes.
        let echo = web.inside(|| TcpListener::bind("0.0.0.0:81").unwrap());
        let more = vec![publish(81, Protocol::Tcp, None, Some(8081))];
        let ports = host.networks.publish("bridge", &web.id, more.clone()).await.unwrap();
        assert_eq!(ports.iter().filter(|port| port.host_ip.is_ipv4()).count(), 2);
        let mut client = std::net::TcpStream::connect("127.0.0.1:8081").unwrap();
        let (mut server, _) = echo.accept().unwrap();
        assert!(host.networks.publish("bridge", &web.id, more).await.is_err(), "its own port twice");
        let kept = host.networks.unpublish("bridge", &web.id, |port| port.container_port == 81).await.unwrap();
        assert!(kept.iter().all(|port| port.host_port == 8080));
        assert!(ask(([127, 0, 0, 1], 8081)).is_err(), "withdrawn");
        ask(([127, 0, 0, 1], 8080)).expect("the other port stays");
        client.write_all(b"still here").unwrap();
        let mut buffer = [0; 10];
        server.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"still here", "an established connection goes on");
        let again = vec![publish(81, Protocol::Tcp, None, Some(8081))];
        host.networks.publish("bridge", &web.id, again).await.expect("a withdrawn port is free again");
        let counters = host.networks.counters(&web.id).await.unwrap();
        assert!(counters["eth0"].rx_bytes > 100 && counters["eth0"].tx_packets > 3, "{counters:?}");
        host.networks.dismantle().await.unwrap();
    });
}
