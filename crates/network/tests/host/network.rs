//! Networks and the containers on them.

use std::time::{Duration, Instant};

use berth_network::{AttachRequest, CreateRequest, Error, Protocol, SubnetRequest};

use crate::stage::*;

#[test]
fn a_daemon_without_containers_changes_nothing() {
    alone_async("network::a_daemon_without_containers_changes_nothing", || async {
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
    alone_async("network::containers_reach_the_host_each_other_and_the_world", || async {
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
fn networks_of_one_s_own_are_isolated_from_each_other() {
    alone_async("network::networks_of_one_s_own_are_isolated_from_each_other", || async {
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
    alone_async("network::bad_networks_are_refused_by_field", || async {
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
            (driver("overlay"), "needs a cluster"),
            (
                CreateRequest { options: [("parent".into(), "nolink".into())].into(), ..driver("macvlan") },
                "no link nolink",
            ),
            (
                CreateRequest { options: [("macvlan_mode".into(), "x".into())].into(), ..driver("macvlan") },
                "macvlan_mode",
            ),
            (driver("cni"), "conflist"),
            (CreateRequest { disable_ipv4: true, ..named("net") }, "IPv4 or IPv6 must be enabled"),
            (
                CreateRequest {
                    options: [("com.docker.network.bridge.gateway_mode_ipv4".into(), "isolated".into())].into(),
                    ..named("net")
                },
                "internal",
            ),
            (driver("host"), "only one instance"),
            (subnet("10.0.0.0", None, None), "IPAM.Config.Subnet"),
            (subnet("10.0.0.0/31", None, None), "/30 or larger"),
            (subnet("10.0.0.0/24", Some("10.0.1.1"), None), "IPAM.Config.Gateway"),
            (subnet("10.0.0.0/24", Some("10.0.0.255"), None), "broadcast"),
            (subnet("10.0.0.0/24", None, Some("10.1.0.0/28")), "IPAM.Config.IPRange"),
            (subnet("172.17.8.0/24", None, None), "Pool overlaps"),
            (subnet("fd00::/127", None, None), "/126 or larger"),
            (subnet("fd00::/64", Some("fd01::1"), None), "IPAM.Config.Gateway"),
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
    alone_async("network::none_and_host_have_their_endpoints", || async {
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
    alone_async("network::attach_is_quick_and_leaves_no_trace", || async {
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
