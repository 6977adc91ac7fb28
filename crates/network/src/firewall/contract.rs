//! What every [`Firewall`] must keep. Run it in a network namespace of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{BridgeRules, Desired, Firewall, PortRule};
use crate::port::Protocol;

/// Runs the suite on a firewall that has nothing installed, and leaves nothing installed.
///
/// # Panics
/// At the first point of the contract that is not kept.
pub fn run(firewall: &dyn Firewall) {
    let bridge = |name: &str, subnet: &str| BridgeRules {
        bridge: name.to_owned(),
        subnet: Some(subnet.parse().expect("subnet")),
        subnet6: Some("fd00:9::/64".parse().expect("subnet")),
        masquerade: true,
        masquerade6: true,
        open: true,
        open6: true,
        talking: true,
        ..BridgeRules::default()
    };
    let port = |host_ip: IpAddr, host_port| PortRule {
        protocol: Protocol::Tcp,
        host_ip,
        host_port,
        target: if host_ip.is_ipv4() {
            SocketAddr::new(Ipv4Addr::new(10, 9, 8, 7).into(), 80)
        } else {
            SocketAddr::new(Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 7).into(), 80)
        },
        routed: false,
    };
    let ports = [
        port(Ipv4Addr::UNSPECIFIED.into(), 8080),
        port(Ipv4Addr::LOCALHOST.into(), 8081),
        port(Ipv6Addr::UNSPECIFIED.into(), 8080),
        port(Ipv6Addr::LOCALHOST.into(), 8081),
        PortRule { routed: true, ..port(Ipv4Addr::UNSPECIFIED.into(), 8082) },
        PortRule { routed: true, ..port(Ipv6Addr::UNSPECIFIED.into(), 8082) },
    ];
    assert!(!firewall.name().is_empty());
    firewall.clear().expect("clearing nothing");

    let desired = Desired { bridges: vec![bridge("one", "10.9.0.0/16")], ports: ports.to_vec() };
    firewall.install(&desired).expect("install");
    assert!(firewall.is_installed().expect("look"), "installed rules are seen");
    firewall.install(&desired).expect("installing again changes nothing");

    for _ in 0..2 {
        firewall.open_bridge(&bridge("two", "10.8.0.0/20")).expect("opening twice is no error");
    }
    for _ in 0..2 {
        firewall.close_bridge(&bridge("two", "10.8.0.0/20")).expect("closing twice is no error");
    }
    for _ in 0..2 {
        firewall.publish(&ports).expect("publishing twice is no error");
    }
    for _ in 0..2 {
        firewall.withdraw(&ports).expect("withdrawing twice is no error");
    }
    firewall.publish(&[]).expect("publishing nothing");
    assert!(!firewall.concerns(&[]), "an empty notice is no change");
    assert!(!firewall.concerns(&[0xff; 40]), "a malformed notice is no change");

    let many = (1..=3000).map(|host_port| port(Ipv4Addr::UNSPECIFIED.into(), host_port)).collect();
    firewall.install(&Desired { bridges: vec![], ports: many }).expect("thousands of ports");
    for _ in 0..2 {
        firewall.clear().expect("clearing twice is no error");
    }
}
