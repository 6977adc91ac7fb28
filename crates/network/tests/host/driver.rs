//! Drivers beside the bridge, and what an endpoint's options do.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use berth_network::{AttachRequest, CreateRequest, Netns, Protocol};

use crate::stage::*;

fn with(name: &str, driver: &str, options: &[(&str, &str)]) -> CreateRequest {
    CreateRequest {
        name: name.to_owned(),
        driver: Some(driver.to_owned()),
        options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..CreateRequest::default()
    }
}

fn on(container: &Container, network: &str) -> AttachRequest {
    AttachRequest { network: network.to_owned(), ..container.request(&[]) }
}

#[test]
fn macvlan_puts_containers_into_the_host_s_network() {
    alone_async("driver::macvlan_puts_containers_into_the_host_s_network", || async {
        let host = Host::new().await;
        let world = neighbour();
        let mut request = with("lan", "macvlan", &[("parent", "wan0")]);
        request.subnets = vec![berth_network::SubnetRequest {
            subnet: Some("10.66.0.0/24".to_owned()),
            gateway: Some("10.66.0.2".to_owned()),
            ip_range: Some("10.66.0.64/26".to_owned()),
            ..Default::default()
        }];
        match host.networks.create(request).await {
            Err(error) if error.to_string().contains("kernel") => return println!("skipped: {error}"),
            outcome => drop(outcome.unwrap()),
        }
        let (one, two) = (Container::new(), Container::new());
        let first = host.networks.attach(on(&one, "lan")).await.unwrap();
        let second = host.networks.attach(on(&two, "lan")).await.unwrap();
        assert_eq!(ip_of(&first).to_string(), "10.66.0.64");
        world.serve(80);
        two.serve(80);
        assert_eq!(one.inside(|| ask(([10, 66, 0, 2], 80))).unwrap(), "10.66.0.64", "the world sees its own address");
        assert_eq!(one.inside(|| ask((ip_of(&second), 80))).unwrap(), "10.66.0.64");
        let routes = one.inside(|| run("ip", &["route"]));
        assert!(routes.contains("default via 10.66.0.2"), "{routes}");
        assert!(host.networks.inspect("lan").unwrap().endpoints.iter().all(|e| e.host_ifname.is_empty()));
        host.networks.disconnect("lan", &one.id, Some(Netns::Pid(one.child.id()))).await.unwrap();
        assert_eq!(one.inside(links), ["lo"], "a hot disconnect takes the link out");
        host.networks.attach(on(&one, "lan")).await.unwrap();
        for container in [&one, &two] {
            host.networks.detach(&container.id).await.unwrap();
        }
        host.networks.settle().await;
        host.networks.remove("lan").await.unwrap();
        assert!(links().contains(&"wan0".to_owned()), "the parent link is the host's");
    });
}

#[test]
fn a_kernel_without_ipvlan_says_so() {
    alone_async("driver::a_kernel_without_ipvlan_says_so", || async {
        let host = Host::new().await;
        let _world = neighbour();
        match host.networks.create(with("lan", "ipvlan", &[("parent", "wan0")])).await {
            Err(error) => {
                assert!(
                    error.to_string().contains("no ipvlan links") && error.to_string().contains("modprobe"),
                    "{error}"
                );
                assert_eq!(links(), ["lo", "wan0"]);
            }
            Ok(_) => {
                let container = Container::new();
                host.networks.attach(on(&container, "lan")).await.unwrap();
                assert!(container.inside(|| run("ip", &["-d", "link", "show", "eth0"])).contains("ipvlan"));
            }
        }
    });
}

/// A plugin in the shell's language: a veth pair, an address, and a note of each call.
const PLUGIN: &str = r#"#!/bin/sh
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME ${CNI_NETNS:+netns}" >> "$(dirname "$0")/calls"
cat > "$(dirname "$0")/input.$CNI_COMMAND"
case $CNI_COMMAND in
ADD)
  nsenter --net="$CNI_NETNS" ip link add "$CNI_IFNAME" type veth peer name cnitoy netns $$ || exit 1
  nsenter --net="$CNI_NETNS" ip addr add 10.123.0.2/24 dev "$CNI_IFNAME"
  nsenter --net="$CNI_NETNS" ip link set "$CNI_IFNAME" up
  nsenter --net="$CNI_NETNS" ip route add default via 10.123.0.1
  ip addr add 10.123.0.1/24 dev cnitoy; ip link set cnitoy up
  echo '{"cniVersion":"1.0.0","ips":[{"address":"10.123.0.2/24","gateway":"10.123.0.1"}]}' ;;
DEL) ip link del cnitoy 2>/dev/null || true ;;
esac
"#;

#[test]
fn plugins_of_others_wire_containers() {
    alone_async("driver::plugins_of_others_wire_containers", || async {
        let host = Host::new().await;
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = place.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        file("toy", PLUGIN);
        file(
            "refuse",
            "#!/bin/sh\n[ $CNI_COMMAND = DEL ] && exit 0\necho '{\"code\": 7, \"msg\": \"no room\"}'; exit 1\n",
        );
        let list = |name: &str, plugins: &str| {
            file(name, &format!(r#"{{"cniVersion":"1.0.0","name":"toynet","plugins":[{plugins}]}}"#))
        };
        let good = list("good.conflist", r#"{"type":"toy","colour":"red"}"#);
        let bad = list("bad.conflist", r#"{"type":"toy"},{"type":"refuse"}"#);
        let absent = list("absent.conflist", r#"{"type":"nowhere"}"#);
        let folder = place.path().to_str().unwrap();
        let create = |name: &str, list: &str| with(name, "cni", &[("conflist", list), ("cni_path", folder)]);
        let error = host.networks.create(create("absent", &absent)).await.unwrap_err().to_string();
        assert!(error.contains("no plugin nowhere"), "{error}");
        host.networks.create(create("toy", &good)).await.unwrap();
        host.networks.create(create("bad", &bad)).await.unwrap();
        let container = Container::new();
        let ports = [publish(80, Protocol::Tcp, None, Some(8080))];
        let request = AttachRequest { network: "toy".to_owned(), ..container.request(&ports) };
        let endpoint = host.networks.attach(request).await.unwrap();
        assert_eq!((ip_of(&endpoint).to_string().as_str(), endpoint.prefix), ("10.123.0.2", 24));
        assert_eq!(endpoint.gateway.unwrap().to_string(), "10.123.0.1");
        container.serve(80);
        assert_eq!(ask(([10, 123, 0, 2], 80)).unwrap(), "10.123.0.1");
        println!("{} {:?}", run("nft", &["list", "ruleset"]), endpoint.published);
        ask("10.123.0.1:8080".parse::<SocketAddr>().unwrap()).expect("the engine publishes where no plugin does");
        let input = fs::read_to_string(place.path().join("input.ADD")).unwrap();
        assert!(input.contains(r#""colour":"red""#) && input.contains(r#""name":"toynet""#), "{input}");
        host.networks.detach(&container.id).await.unwrap();
        host.networks.settle().await;
        let calls = fs::read_to_string(place.path().join("calls")).unwrap();
        let id = &container.id;
        assert_eq!(calls, format!("ADD {id} eth0 netns\nDEL {id} eth0 \n"));
        let input = fs::read_to_string(place.path().join("input.DEL")).unwrap();
        assert!(input.contains("prevResult") && input.contains("10.123.0.2/24"), "{input}");
        let error = host.networks.attach(on(&Container::new(), "bad")).await.unwrap_err().to_string();
        assert!(error.contains("refuse") && error.contains("no room"), "{error}");
        assert!(!links().contains(&"cnitoy".to_owned()), "what ran before the refusal is taken back");
        assert_eq!(host.networks.inspect("bad").unwrap().endpoints.len(), 0);
    });
}

/// The list that most hosts have: a bridge, addresses by host-local, ports by portmap.
fn usual_list(leases: &str) -> String {
    let ipam = format!(
        r#"{{"type":"host-local","dataDir":"{leases}","ranges":[[{{"subnet":"10.124.0.0/24"}}]],
        "routes":[{{"dst":"0.0.0.0/0"}}]}}"#
    );
    format!(
        r#"{{"cniVersion":"1.0.0","name":"usual","plugins":[
        {{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"ipam":{ipam}}},
        {{"type":"portmap","capabilities":{{"portMappings":true}},"snat":true}}]}}"#
    )
}

#[test]
fn plugins_of_debian_give_a_bridge_an_address_and_ports() {
    let is_there = |name: &str| std::path::Path::new("/usr/lib/cni").join(name).exists();
    if !["bridge", "host-local", "portmap"].iter().all(|name| is_there(name)) {
        return println!("skipped: containernetworking-plugins is not installed");
    }
    alone_async("driver::plugins_of_debian_give_a_bridge_an_address_and_ports", || async {
        let host = Host::new().await;
        let place = tempfile::tempdir().unwrap();
        let (list, leases) = (place.path().join("usual.conflist"), place.path().join("leases"));
        fs::write(&list, usual_list(leases.to_str().unwrap())).unwrap();
        host.networks.create(with("usual", "cni", &[("conflist", list.to_str().unwrap())])).await.unwrap();
        let (one, two, world) = (Container::new(), Container::new(), neighbour());
        let ports = [publish(80, Protocol::Tcp, None, Some(8080))];
        let request = AttachRequest { network: "usual".to_owned(), ..one.request(&ports) };
        let endpoint = host.networks.attach(request).await.unwrap();
        assert_eq!((ip_of(&endpoint).to_string().as_str(), endpoint.prefix), ("10.124.0.2", 24));
        assert_eq!(endpoint.gateway.unwrap().to_string(), "10.124.0.1");
        let second = host.networks.attach(on(&two, "usual")).await.unwrap();
        assert_eq!(ip_of(&second).to_string(), "10.124.0.3");
        one.serve(80);
        assert_eq!(two.inside(|| ask(([10, 124, 0, 2], 80))).unwrap(), "10.124.0.3");
        assert_eq!(world.inside(|| ask_patiently(([10, 66, 0, 1], 8080))).unwrap(), "10.66.0.2", "by portmap");
        assert!(leases.join("usual/10.124.0.2").exists());
        // One leaves while it runs, as by `network disconnect`; of the other nothing is left to be seen from.
        let alive = Some(Netns::Pid(one.child.id()));
        host.networks.disconnect("usual", &one.id, alive).await.unwrap();
        assert!(!one.inside(links).contains(&"eth0".to_owned()));
        let id = two.id.clone();
        drop(two);
        host.networks.detach(&id).await.unwrap();
        host.networks.settle().await;
        assert!(!leases.join("usual/10.124.0.2").exists(), "the lease is given back");
        assert!(world.inside(|| ask(([10, 66, 0, 1], 8080))).is_err(), "and the port");
        // The kernel takes a dead container's links some time later.
        let deadline = Instant::now() + Duration::from_secs(5);
        while links().iter().any(|link| link.starts_with("veth")) {
            assert!(Instant::now() < deadline, "{:?}", links());
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn speed_is_limited_in_both_directions() {
    alone_async("driver::speed_is_limited_in_both_directions", || async {
        let host = Host::new().await;
        let container = Container::new();
        let limited = |rate_in: &str, rate_out: &str| AttachRequest {
            driver_options: [("berth.rate-in", rate_in), ("berth.rate-out", rate_out)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..container.request(&[])
        };
        let error = host.networks.attach(limited("fast", "10m")).await.unwrap_err().to_string();
        assert!(error.contains("rate-in") && error.contains("fast"), "{error}");
        let endpoint = host.networks.attach(limited("40m", "80m")).await.unwrap();
        // Five megabytes take a second at 40 Mbit/s; the bucket lets the first 128 KiB through at once.
        let measure = |into: bool, bytes: usize| {
            let sink = container.inside(|| std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap());
            let source = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap();
            let (listener, to) = match into {
                true => (sink, SocketAddr::new(ip_of(&endpoint).into(), 0)),
                false => (source, SocketAddr::new(endpoint.gateway.unwrap().into(), 0)),
            };
            let to = SocketAddr::new(to.ip(), listener.local_addr().unwrap().port());
            let begun = Instant::now();
            let connect = || std::net::TcpStream::connect(to).unwrap();
            let mut stream = if into { connect() } else { container.inside(connect) };
            let reader =
                std::thread::spawn(move || std::io::copy(&mut listener.accept().unwrap().0, &mut std::io::sink()));
            std::io::Write::write_all(&mut stream, &vec![0; bytes]).unwrap();
            drop(stream);
            reader.join().unwrap().unwrap();
            bytes as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e6
        };
        let (rate_in, rate_out) = (measure(true, 5 << 20), measure(false, 10 << 20));
        println!("in {rate_in:.1} Mbit/s of 40, out {rate_out:.1} Mbit/s of 80");
        assert!((20.0..46.0).contains(&rate_in), "{rate_in}");
        assert!((40.0..92.0).contains(&rate_out), "{rate_out}");
        let counters = host.networks.counters(&container.id).await.unwrap();
        assert!(counters["eth0"].rx_bytes > 5 << 20 && counters["eth0"].tx_bytes > 10 << 20, "{counters:?}");
        host.networks.detach(&container.id).await.unwrap();
    });
}

#[test]
fn the_way_out_follows_priorities_and_the_ports_follow_the_way_out() {
    alone_async("driver::the_way_out_follows_priorities_and_the_ports_follow_the_way_out", || async {
        let host = Host::new().await;
        for name in ["alpha", "beta", "gamma"] {
            host.networks.create(with(name, "bridge", &[])).await.unwrap();
        }
        let container = Container::new();
        let via = |host: &Host, network: &str| {
            let gateway = host.networks.inspect(network).unwrap().network.subnet.unwrap().gateway;
            container.inside(|| run("ip", &["route"])).contains(&format!("default via {gateway}"))
        };
        let ports = [publish(80, Protocol::Tcp, None, Some(8080))];
        let beta = AttachRequest { network: "beta".to_owned(), ..container.request(&ports) };
        host.networks.attach(beta).await.unwrap();
        container.serve(80);
        assert!(via(&host, "beta"));
        let gamma = AttachRequest { gateway_priority: 5, ..on(&container, "gamma") };
        host.networks.attach(gamma).await.unwrap();
        assert!(via(&host, "gamma"), "the highest priority");
        ask(([127, 0, 0, 1], 8080)).expect("the port went along");
        host.networks.attach(on(&container, "alpha")).await.unwrap();
        assert!(via(&host, "gamma"), "a lower one does not take over");
        let netns = || Some(Netns::Pid(container.child.id()));
        host.networks.disconnect("gamma", &container.id, netns()).await.unwrap();
        assert!(via(&host, "alpha"), "among equals the first by name");
        ask(([127, 0, 0, 1], 8080)).expect("the port went along");
        assert_eq!(container.inside(links).len(), 3);
        for network in ["alpha", "beta"] {
            host.networks.disconnect(network, &container.id, netns()).await.unwrap();
        }
        assert_eq!(container.inside(links), ["lo"]);
        assert!(ask(([127, 0, 0, 1], 8080)).is_err());
        std::thread::sleep(Duration::from_millis(10));
        host.networks.dismantle().await.unwrap();
        assert_eq!(links(), ["lo"]);
    });
}
