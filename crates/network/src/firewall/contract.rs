//! What every [`Firewall`] must keep. Run it in a network namespace of its own.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::{BridgeRules, Desired, Firewall, PortRule};
use crate::port::Protocol;

/// Runs the suite on a firewall that has nothing installed, and leaves nothing installed.
///
/// # Panics
/// At the first point of the contract that is not kept.
pub fn run(firewall: &dyn Firewall) {
    let bridge = |name: &str, subnet: &str| BridgeRules {
        bridge: name.to_owned(),
        subnet: subnet.parse().expect("subnet"),
        masquerade: true,
        talking: true,
        internal: false,
    };
    let port = |host_ip: Ipv4Addr, host_port| PortRule {
        protocol: Protocol::Tcp,
        host_ip,
        host_port,
        target: SocketAddrV4::new(Ipv4Addr::new(10, 9, 8, 7), 80),
    };
    let ports = [port(Ipv4Addr::UNSPECIFIED, 8080), port(Ipv4Addr::LOCALHOST, 8081)];
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

    let many = (1..=3000).map(|host_port| port(Ipv4Addr::UNSPECIFIED, host_port)).collect();
    firewall.install(&Desired { bridges: vec![], ports: many }).expect("thousands of ports");
    for _ in 0..2 {
        firewall.clear().expect("clearing twice is no error");
    }
}
