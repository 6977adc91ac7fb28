//! What goes wrong on a host, and how it comes right.

use std::time::Duration;

use berth_network::{AttachRequest, Error, Protocol, driver::Bridge};

use crate::stage::*;

#[test]
fn a_namespace_that_is_gone_leaves_nothing_behind() {
    alone_async("repair::a_namespace_that_is_gone_leaves_nothing_behind", || async {
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
    alone_async("repair::rules_that_somebody_flushes_are_back_within_a_second", || async {
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
    alone_async("repair::a_bridge_deleted_by_hand_comes_back_with_the_next_container", || async {
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
    alone_async("repair::recovery_keeps_the_living_and_sweeps_the_rest", || async {
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

/// Another program's drop cannot be overruled, only told.
#[test]
fn a_foreign_chain_that_drops_is_told_with_its_remedy() {
    alone_async("repair::a_foreign_chain_that_drops_is_told_with_its_remedy", || async {
        run("nft", &["add", "table", "ip", "filter"]);
        run(
            "nft",
            &["add", "chain", "ip", "filter", "FORWARD", "{ type filter hook forward priority 0; policy drop; }"],
        );
        let host = Host::new().await;
        let warnings = host.networks.warnings().join("\n");
        let remedy = "nft insert rule ip filter FORWARD iifname berth0 accept";
        assert!(warnings.contains(remedy), "{warnings}");
        run("nft", &remedy.split(' ').skip(1).collect::<Vec<_>>());
        let warnings = host.networks.warnings().join("\n");
        assert!(!warnings.contains("drops forwarded packets"), "the remedy helped: {warnings}");
    });
}

/// What ufw makes of `ufw enable` and `ufw allow 8081/tcp`, shortened.
const UFW: &str = "
    table ip filter {
        chain ufw-before-input {
            iifname lo accept
            ct state related,established accept
            ct state invalid drop
            icmp type echo-request accept
        }
        chain ufw-user-input { tcp dport 8081 accept; }
        chain ufw-before-forward { ct state related,established accept; }
        chain ufw-user-forward { }
        chain INPUT {
            type filter hook input priority filter; policy drop;
            jump ufw-before-input
            jump ufw-user-input
        }
        chain FORWARD {
            type filter hook forward priority filter; policy drop;
            jump ufw-before-forward
            jump ufw-user-forward
        }
    }";

/// What firewalld makes of its zone `public` with `firewall-cmd --add-port=8081/tcp`, shortened.
const FIREWALLD: &str = "
    table inet firewalld {
        chain filter_IN_public { tcp dport 8081 ct state new,untracked accept; }
        chain filter_INPUT_POLICIES { goto filter_IN_public; }
        chain filter_INPUT {
            type filter hook input priority filter + 10; policy accept;
            ct state established,related accept
            ct status dnat accept
            iifname lo accept
            ct state invalid drop
            jump filter_INPUT_POLICIES
            reject with icmpx type admin-prohibited
        }
        chain filter_FORWARD_POLICIES { }
        chain filter_FORWARD {
            type filter hook forward priority filter + 10; policy accept;
            ct state established,related accept
            ct status dnat accept
            iifname lo accept
            ct state invalid drop
            jump filter_FORWARD_POLICIES
            reject with icmpx type admin-prohibited
        }
    }";

fn load(rules: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules");
    std::fs::write(&file, rules).unwrap();
    run("nft", &["-f", file.to_str().unwrap()]);
}

#[test]
fn ufw_and_firewalld_are_told_in_their_own_commands() {
    alone_async("repair::ufw_and_firewalld_are_told_in_their_own_commands", || async {
        let host = Host::new().await;
        for (rules, table, command, opened) in [
            (UFW, "ip filter", "ufw route allow in on berth0", "ip filter ufw-user-forward iifname berth0 accept"),
            (
                FIREWALLD,
                "inet firewalld",
                "firewall-cmd --permanent --zone=trusted --add-interface=berth0",
                "inet firewalld filter_FORWARD_POLICIES iifname berth0 accept",
            ),
        ] {
            load(rules);
            let warnings = host.networks.warnings().join("\n");
            assert!(warnings.contains(command) && warnings.contains(table), "{warnings}");
            run("nft", &[&format!("add rule {opened}")]);
            let warnings = host.networks.warnings().join("\n");
            assert!(!warnings.contains(command), "as that command does it: {warnings}");
            run("nft", &[&format!("delete table {table}")]);
        }
    });
}

/// A published port obeys the input chains of these rules, which let 8081 in and 8080 not.
async fn obeys(rules: &str) {
    let dir = tempfile::tempdir().unwrap();
    let store = berth_record::Store::open(&dir.path().join("berth.db")).unwrap();
    let config = berth_network::NetworkConfig { respect_host_input: true, ..Default::default() };
    let networks = berth_network::Networks::open(config, store, berth_event::Bus::default()).await.unwrap();
    load(rules);
    // Forwarding is opened as the engine's sentence says.
    if rules == UFW {
        run("nft", &["add rule ip filter ufw-user-forward oifname berth0 accept"]);
    }
    let (world, web) = (neighbour(), Container::new());
    let ports = [8080, 8081].map(|port| publish(80, Protocol::Tcp, None, Some(port)));
    networks.attach(web.request(&ports)).await.unwrap();
    web.serve(80);
    let from_world = |port| world.inside(|| ask_patiently(([10, 66, 0, 1], port)));
    assert_eq!(from_world(8081).unwrap(), "10.66.0.2", "the host's rule opens the port");
    assert!(from_world(8080).is_err(), "the host's policy closes the other");
    ask(([127, 0, 0, 1], 8080)).expect("the host itself");
    networks.dismantle().await.unwrap();
}

#[test]
fn published_ports_obey_ufw() {
    alone_async("repair::published_ports_obey_ufw", || obeys(UFW));
}

#[test]
fn published_ports_obey_firewalld() {
    alone_async("repair::published_ports_obey_firewalld", || obeys(FIREWALLD));
}

/// Forty containers at once, over and over: nothing is left, nothing is given out twice.
#[test]
fn many_at_once_leave_no_trace() {
    alone_async("repair::many_at_once_leave_no_trace", || async {
        let host = Host::new().await;
        let containers: Vec<_> = (0..40).map(|_| std::sync::Arc::new(Container::new())).collect();
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let mut before = 0;
        for round in 0..5 {
            let start = std::time::Instant::now();
            let attaching = containers.iter().map(|container| {
                let (networks, request) =
                    (host.networks.clone(), container.request(&[publish(80, Protocol::Tcp, None, None)]));
                tokio::spawn(async move { networks.attach(request).await.unwrap() })
            });
            let attaching: Vec<_> = attaching.collect();
            let mut addresses = std::collections::BTreeSet::new();
            let mut ports = std::collections::BTreeSet::new();
            for task in attaching {
                let endpoint = task.await.unwrap();
                assert!(addresses.insert(endpoint.ipv4.unwrap()));
                assert!(ports.insert(endpoint.published[0].host_port));
            }
            println!("forty at once: {:?}", start.elapsed());
            for container in &containers {
                host.networks.detach(&container.id).await.unwrap();
            }
            host.networks.settle().await;
            assert_eq!(links(), ["lo", "berth0"]);
            match round {
                1 => before = descriptors(),
                2.. => {
                    // The last removals close their sockets some milliseconds after the links are out of sight.
                    let patience = std::time::Instant::now() + std::time::Duration::from_secs(2);
                    while descriptors() > before + 5 && std::time::Instant::now() < patience {
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    }
                    assert!(descriptors() <= before + 5, "descriptors grow from {before} to {}", descriptors());
                }
                _ => {}
            }
        }
        assert!(!run("nft", &["list", "map", "inet", "berth", "published"]).contains("elements"));
        assert!(host.networks.inspect("bridge").unwrap().endpoints.is_empty());
    });
}

/// Two engines that fight over one table must not take the machine with them; with bridges of their own they do not.
#[test]
fn engines_with_bridges_of_their_own_share_a_host() {
    alone_async("repair::engines_with_bridges_of_their_own_share_a_host", || async {
        let host = Host::new().await;
        let dir = tempfile::tempdir().unwrap();
        let store = berth_record::Store::open(&dir.path().join("berth.db")).unwrap();
        let config = berth_network::NetworkConfig { bridge_name: "other0".to_owned(), ..Default::default() };
        let (one, two) = (Container::new(), Container::new());
        host.networks.attach(one.request(&[publish(80, Protocol::Tcp, None, Some(8080))])).await.unwrap();
        let other = berth_network::Networks::open(config, store, berth_event::Bus::default()).await.unwrap();
        let endpoint = other.attach(two.request(&[publish(80, Protocol::Tcp, None, Some(8081))])).await.unwrap();
        assert_eq!(endpoint.ipv4.unwrap().to_string(), "172.18.0.2", "the first engine's subnet is passed over");
        one.serve(80);
        two.serve(80);
        ask(([127, 0, 0, 1], 8080)).expect("the first engine's port");
        ask(([127, 0, 0, 1], 8081)).expect("the second engine's port");
        other.dismantle().await.unwrap();
        ask(([127, 0, 0, 1], 8080)).expect("the first engine's port stays");
        host.networks.dismantle().await.unwrap();
        assert_eq!(links(), ["lo"]);
    });
}

/// The host's own rules for its ports also stand for published ones, where that is the policy.
#[test]
fn published_ports_obey_the_host_s_input_chain() {
    alone_async("repair::published_ports_obey_the_host_s_input_chain", || async {
        let dir = tempfile::tempdir().unwrap();
        let store = berth_record::Store::open(&dir.path().join("berth.db")).unwrap();
        let config = berth_network::NetworkConfig { respect_host_input: true, ..Default::default() };
        let networks = berth_network::Networks::open(config, store, berth_event::Bus::default()).await.unwrap();
        let (world, web) = (neighbour(), Container::new());
        let ports = [8080, 8081].map(|port| publish(80, Protocol::Tcp, None, Some(port)));
        networks.attach(web.request(&ports)).await.unwrap();
        web.serve(80);
        let from_world = |port| world.inside(|| ask_patiently(([10, 66, 0, 1], port)));
        assert_eq!(from_world(8080).unwrap(), "10.66.0.2", "a host without rules lets everybody in");
        run("nft", &["add table ip host; add chain ip host in { type filter hook input priority 0; policy drop; }"]);
        run("nft", &["add rule ip host in iif lo accept"]);
        run("nft", &["add rule ip host in ct state established,related accept"]);
        run("nft", &["add rule ip host in tcp dport 8081 accept"]);
        // Who was let in by former rules is asked anew soon after they changed.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(from_world(8080).is_err(), "the host's policy closes the port");
        assert_eq!(from_world(8081).unwrap(), "10.66.0.2", "the host's rule opens the other");
        let again = std::time::Instant::now();
        from_world(8081).unwrap();
        assert!(again.elapsed() < Duration::from_millis(500), "who was let in waits no more");
        ask(([127, 0, 0, 1], 8080)).expect("the host itself");
        run("nft", &["delete table ip host"]);
        networks.dismantle().await.unwrap();
    });
}

/// Joins and leaves `count` times, and compares what there is of everything with what there was.
async fn cycles(count: usize) {
    let host = Host::new().await;
    let container = Container::new();
    let ports = [publish(80, Protocol::Tcp, None, None), publish(53, Protocol::Udp, None, None)];
    let network = berth_network::CreateRequest { name: "six".to_owned(), enable_ipv6: true, ..Default::default() };
    let id = host.networks.create(network).await.unwrap().id;
    let cycle = async || {
        let request = AttachRequest { network: "six".to_owned(), ..container.request(&ports) };
        let address = host.networks.attach(request).await.unwrap().ipv4;
        let netns = Some(berth_network::Netns::Pid(container.child.id()));
        host.networks.disconnect("six", &container.id, netns).await.unwrap();
        address
    };
    let first = cycle().await;
    let look = || {
        let namespaces = std::fs::read_dir("/proc/self/task").unwrap().count();
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
        (links(), container.inside(links), run("nft", &["list", "table", "inet", "berth"]), open, namespaces.min(64))
    };
    let before = look();
    for _ in 0..count {
        assert_eq!(cycle().await, first, "the address comes back each time");
    }
    let after = look();
    assert_eq!((&before.0, &before.1, &before.2), (&after.0, &after.1, &after.2));
    assert!(after.3 <= before.3 + 2, "descriptors: {} then {}", before.3, after.3);
    assert_eq!(host.networks.inspect(&id).unwrap().endpoints.len(), 0);
    let store = berth_record::Store::open(&host.dir.path().join("berth.db")).unwrap();
    let records = store.summaries::<berth_network::EndpointRecord>(berth_network::record::ENDPOINTS).unwrap().0;
    assert!(records.is_empty(), "no lease stays on disk");
}

#[test]
fn two_hundred_cycles_leave_everything_where_it_was() {
    alone_async("repair::two_hundred_cycles_leave_everything_where_it_was", || cycles(200));
}

/// Some minutes: `cargo nextest run -p berth-network --run-ignored all ten_thousand`.
#[test]
#[ignore = "takes minutes"]
fn ten_thousand_cycles_leave_everything_where_it_was() {
    if std::env::var_os(MARKER).is_none() {
        let status = std::process::Command::new("unshare")
            .arg("-n")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "repair::ten_thousand_cycles_leave_everything_where_it_was", "--ignored", "--nocapture"])
            .env(MARKER, "1")
            .status();
        return assert!(status.unwrap().success());
    }
    run("ip", &["link", "set", "lo", "up"]);
    tokio::runtime::Runtime::new().unwrap().block_on(cycles(10_000));
}

#[test]
fn renamed_links_are_found_again() {
    alone_async("repair::renamed_links_are_found_again", || async {
        let host = Host::new().await;
        let (one, two) = (Container::new(), Container::new());
        host.networks.attach(one.request(&[])).await.unwrap();
        run("ip", &["link", "set", "berth0", "name", "mine"]);
        let second = host.networks.attach(two.request(&[])).await.unwrap();
        assert!(links().contains(&"berth0".to_owned()) && !links().contains(&"mine".to_owned()), "{:?}", links());
        two.serve(80);
        one.inside(|| ask((ip_of(&second), 80))).expect("the containers are on one bridge");
        let veth = host.networks.inspect("bridge").unwrap().endpoints;
        let veth = &veth.iter().find(|endpoint| endpoint.container_id == one.id).unwrap().host_ifname;
        run("ip", &["link", "set", veth, "name", "theirs"]);
        let netns = Some(berth_network::Netns::Pid(one.child.id()));
        host.networks.disconnect("bridge", &one.id, netns).await.unwrap();
        assert!(!links().contains(&"theirs".to_owned()), "{:?}", links());
        host.networks.detach(&two.id).await.unwrap();
        host.networks.dismantle().await.unwrap();
        assert_eq!(links(), ["lo"]);
    });
}

#[test]
fn the_last_one_turns_the_settings_back() {
    alone_async("repair::the_last_one_turns_the_settings_back", || async {
        let forwards = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
        let host = Host::new().await;
        let container = Container::new();
        host.networks.attach(container.request(&[])).await.unwrap();
        assert_eq!(forwards(), "1\n");
        host.networks.close().await.unwrap();
        assert_eq!(forwards(), "1\n", "a container goes on without the daemon");
        host.networks.detach(&container.id).await.unwrap();
        host.networks.close().await.unwrap();
        assert_eq!(forwards(), "0\n");
        host.networks.attach(container.request(&[])).await.unwrap();
        assert_eq!(forwards(), "1\n", "the next one turns it on again");
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        host.networks.detach(&container.id).await.unwrap();
        host.networks.dismantle().await.unwrap();
        assert_eq!(forwards(), "0\n");
    });
}
