//! The contracts of firewalls and drivers, and the rule file judged by nft(8).

use std::{
    io::Write,
    os::fd::AsFd,
    process::{Command, Stdio},
};

use berth_network::{
    driver::{self, Bridge},
    firewall::{self, Firewall, Nftables},
};

use crate::stage::*;

#[test]
fn nftables_keeps_the_contract() {
    alone("contracts::nftables_keeps_the_contract", || {
        for respect in [false, true] {
            firewall::contract::run(&Nftables::open("berth", respect).unwrap());
        }
        assert_eq!(run("nft", &["list", "ruleset"]), "");
    });
}

/// nft(8) reads the same rule file; the kernel must hold the same rules after both.
#[test]
fn rules_are_those_that_nft_makes_of_the_file() {
    alone("contracts::rules_are_those_that_nft_makes_of_the_file", || {
        let listing = || run("nft", &["list", "table", "inet", "berth"]);
        for respect in [false, true] {
            let firewall = Nftables::open("berth", respect).unwrap();
            firewall.install(&firewall::Desired::default()).unwrap();
            let ours = listing();
            firewall.clear().unwrap();
            let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
            nft.stdin.take().unwrap().write_all(firewall::rules(respect).as_bytes()).unwrap();
            assert!(nft.wait().unwrap().success(), "nft reads the rule file");
            assert_eq!(ours, listing());
            firewall.clear().unwrap();
        }
    });
}

#[test]
fn drivers_keep_the_contract() {
    alone_async("contracts::drivers_keep_the_contract", || async {
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
            gateway_priority: 0,
            aliases: vec![],
            host_name: String::new(),
            links: vec![],
            driver_options: std::collections::BTreeMap::new(),
            ipv6: None,
            given: None,
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
