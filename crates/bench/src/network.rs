//! The packet path and the cost of networks: iperf3 beside a bare veth pair and the host's loopback, the time that a
//! published port adds, connecting and disconnecting, and a start among many networks and ports.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use berth_blackbox::Engine;
use berth_blackbox::command::is_installed;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;

use crate::report::{Report, median};
use crate::subject::{Subjects, time};

const SECONDS: &str = "2";
const ROUNDS: usize = 3;
/// Questions and answers of one byte for a percentile.
const QUESTIONS: usize = 4000;
const NETWORKS: usize = 500;
const PORTS: u16 = 1000;

/// A process with a network namespace of its own, joined to an engine's host by a bare veth pair.
pub struct World {
    holder: Child,
    /// Programs that serve in it, and end with it.
    servers: RefCell<Vec<Child>>,
}

impl World {
    /// 10.255.0.1 is the engine's host, 10.255.0.2 the world.
    pub fn beside(engine: &Engine) -> Result<World> {
        let mut holder = engine.neighbour("unshare");
        let holder = holder.args(["-n", "sleep", "600"]).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        std::thread::sleep(Duration::from_millis(200));
        let world = World { holder, servers: RefCell::default() };
        let pid = world.holder.id().to_string();
        for line in [
            format!("ip link add bench0 type veth peer name bench1 netns {pid}"),
            "ip addr add 10.255.0.1/24 dev bench0".to_owned(),
            "ip link set bench0 up".to_owned(),
            format!("nsenter -n -t {pid} ip addr add 10.255.0.2/24 dev bench1"),
            format!("nsenter -n -t {pid} ip link set bench1 up"),
        ] {
            engine.host(&line.split(' ').collect::<Vec<_>>()).ok();
        }
        Ok(world)
    }

    /// The process whose namespace it is.
    pub fn holder_pid(&self) -> String {
        self.holder.id().to_string()
    }

    /// Keeps a server until the world ends.
    pub fn keep(&self, server: Child) {
        self.servers.borrow_mut().push(server);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for server in self.servers.get_mut() {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// All tables of this part.
pub fn networks(subjects: &Subjects, report: &mut Report) -> Result<()> {
    if is_installed("iperf3") {
        throughput(subjects, report)?;
    } else {
        eprintln!("skipped: throughput needs iperf3");
    }
    latency(subjects, report)?;
    connecting(subjects, report)?;
    among_many(subjects, report)
}

fn pid_of(engine: &Engine, name: &str) -> String {
    engine.inspect(name)["State"]["Pid"].to_string()
}

fn address_of(engine: &Engine, name: &str) -> String {
    engine.inspect(name)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].as_str().unwrap_or_default().to_owned()
}

/// One run of iperf3 from a process's namespace to an address where another one serves; Gbit/s.
fn iperf(engine: &Engine, server: &str, client: &str, address: &str, port: &str) -> Result<f64> {
    let mut serve = engine.neighbour("nsenter");
    serve.args(["-n", "-t", server, "iperf3", "-s", "-1", "-p", "5201"]);
    let mut serve = serve.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    std::thread::sleep(Duration::from_millis(150));
    let words = ["nsenter", "-n", "-t", client, "iperf3", "-J", "-t", SECONDS, "-c", address, "-p", port];
    let output = engine.host(&words);
    let _ = serve.kill();
    let _ = serve.wait();
    let json: serde_json::Value = serde_json::from_str(&output.ok()).context("iperf3's answer")?;
    let bits = json["end"]["sum_received"]["bits_per_second"].as_f64();
    bits.map(|bits| bits / 1e9).with_context(|| format!("iperf3 says {}", json["error"]))
}

fn throughput(subjects: &Subjects, report: &mut Report) -> Result<()> {
    let engines = subjects.engines();
    let mut worlds = Vec::new();
    for (_, engine) in &engines {
        worlds.push(World::beside(engine)?);
        let publish = json!({"ExposedPorts": {"5201/tcp": {}},
            "HostConfig": {"PortBindings": {"5201/tcp": [{"HostPort": "5301"}]}}});
        engine.run("one", &["sleep", "600"], publish);
        engine.run("two", &["sleep", "600"], json!({}));
    }
    let holders: Vec<String> = worlds.iter().map(|world| world.holder.id().to_string()).collect();
    let host = |engine: &Engine| engine.daemon_pid().to_string();
    let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
    for round in 0..ROUNDS {
        let mut put = |at: usize, label: String, value: f64| {
            if round == 0 {
                rows.push((label, Vec::new()));
            }
            rows[at].1.push(value);
        };
        let first = engines[0].1;
        put(0, "bare veth pair".into(), iperf(first, &holders[0], &host(first), "10.255.0.2", "5201")?);
        put(1, "host loopback".into(), iperf(first, &host(first), &host(first), "127.0.0.1", "5201")?);
        let mut at = 2;
        for ((label, engine), world) in engines.iter().zip(&holders) {
            let (one, two) = (pid_of(engine, "one"), pid_of(engine, "two"));
            let (one_ip, gateway) = (address_of(engine, "one"), "10.255.0.1");
            let own = &host(engine);
            put(at, format!("{label}: host to container"), iperf(engine, &one, own, &one_ip, "5201")?);
            put(at + 1, format!("{label}: container to container"), iperf(engine, &one, &two, &one_ip, "5201")?);
            put(at + 2, format!("{label}: published port"), iperf(engine, &one, world, gateway, "5301")?);
            at += 3;
        }
    }
    for (_, engine) in &engines {
        for name in ["one", "two"] {
            engine.http().delete(&format!("/containers/{name}?force=1"));
        }
        engine.host(&["ip", "link", "del", "bench0"]);
    }
    let rows: Vec<_> =
        rows.into_iter().map(|(label, mut values)| (label, median(&mut values).unwrap_or(0.0))).collect();
    report.numbers(
        "Packets: iperf3, one TCP stream",
        "The published port is asked from a neighbour of the host over a bare veth pair. Ratios are to the bare pair.",
        "Gbit/s",
        &rows,
    );
    Ok(())
}

/// Does `work` on a thread in the network namespace of a process.
fn within<T: Send>(pid: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network))?;
            work()
        });
        thread.join().expect("a thread in a namespace")
    })
}

/// The 99th percentile of a byte sent and answered.
fn questions(address: SocketAddr) -> Result<Duration> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(3))?;
    stream.set_nodelay(true)?;
    let mut times = Vec::with_capacity(QUESTIONS);
    let mut byte = [0];
    for _ in 0..QUESTIONS {
        let begin = Instant::now();
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(times[QUESTIONS * 99 / 100])
}

fn echo(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.set_nodelay(true);
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
        }
    });
}

fn latency(subjects: &Subjects, report: &mut Report) -> Result<()> {
    let mut rows = Vec::new();
    for (label, engine) in subjects.engines() {
        let publish = json!({"ExposedPorts": {"7/tcp": {}},
            "HostConfig": {"PortBindings": {"7/tcp": [{"HostPort": "5307"}]}}});
        engine.run("echo", &["sleep", "600"], publish);
        let (pid, host) = (pid_of(engine, "echo"), engine.daemon_pid().to_string());
        let listener = within(&pid, || Ok(TcpListener::bind(("0.0.0.0", 7))?))?;
        echo(listener);
        let direct: SocketAddr = format!("{}:7", address_of(engine, "echo")).parse()?;
        let published = SocketAddr::from(([127, 0, 0, 1], 5307));
        let (mut own, mut through) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            own.push(within(&host, || questions(direct))?);
            through.push(within(&host, || questions(published))?);
        }
        engine.http().delete("/containers/echo?force=1");
        rows.push((format!("{label}: container's address"), micro(median(&mut own))));
        rows.push((format!("{label}: published port on localhost"), micro(median(&mut through))));
    }
    report.numbers("Packets: one byte and its answer, 99th percentile", "", "µs", &rows);
    Ok(())
}

fn micro(time: Option<Duration>) -> f64 {
    time.unwrap_or_default().as_secs_f64() * 1e6
}

/// Connecting a running container to a network and disconnecting it again.
fn connecting(subjects: &Subjects, report: &mut Report) -> Result<()> {
    let mut rows = Vec::new();
    for (label, engine) in subjects.engines() {
        engine.run("joiner", &["sleep", "600"], json!({}));
        let network = json!({"Name": "bench", "IPAM": {"Config": [{"Subnet": "10.200.0.0/24"}]}});
        engine.http().post_json("/networks/create", &network).expect(201);
        let who = json!({"Container": "joiner"});
        let (mut joins, mut leaves) = (Vec::new(), Vec::new());
        for _ in 0..31 {
            let begin = Instant::now();
            engine.http().post_json("/networks/bench/connect", &who).expect(200);
            joins.push(begin.elapsed());
            let begin = Instant::now();
            engine.http().post_json("/networks/bench/disconnect", &who).expect(200);
            leaves.push(begin.elapsed());
        }
        engine.http().delete("/containers/joiner?force=1");
        engine.http().delete("/networks/bench").expect(204);
        rows.push((format!("{label}: connect"), micro(median(&mut joins)) / 1e3));
        rows.push((format!("{label}: disconnect"), micro(median(&mut leaves)) / 1e3));
    }
    report.numbers("A running container joins a network and leaves it", "Through the API.", "ms", &rows);
    Ok(())
}

/// A start on an empty host, and one among 500 networks with bridges and 1,000 published ports.
fn among_many(subjects: &Subjects, report: &mut Report) -> Result<()> {
    let (engine, client) = (&subjects.berth, subjects.berth_client.as_path());
    let run = || -> Result<Vec<Duration>> {
        (0..21).map(|_| time(engine, client, &["run", "--rm", "-p", "80", "busybox", "true"])).collect()
    };
    let mut before = run()?;
    engine.run("joiner", &["sleep", "600"], json!({}));
    let who = json!({"Container": "joiner"});
    for number in 0..NETWORKS {
        let subnet = format!("10.{}.{}.0/28", 100 + number / 250, number % 250);
        let network = json!({"Name": format!("many{number}"), "IPAM": {"Config": [{"Subnet": subnet}]}});
        engine.http().post_json("/networks/create", &network).expect(201);
        engine.http().post_json(&format!("/networks/many{number}/connect"), &who).expect(200);
    }
    for first in (0..PORTS).step_by(100) {
        let bindings: serde_json::Map<_, _> = (0..100u16)
            .map(|port| (format!("{}/tcp", 1000 + port), json!([{"HostPort": (20000 + first + port).to_string()}])))
            .collect();
        engine.run("", &["sleep", "600"], json!({"HostConfig": {"PortBindings": bindings}}));
    }
    let mut after = run()?;
    let containers = engine.http().get("/containers/json").json();
    for container in containers.as_array().into_iter().flatten() {
        let id = container["Id"].as_str().unwrap_or_default();
        engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
    }
    engine.http().post("/networks/prune").expect(200);
    let left = engine.http().get("/networks").json();
    ensure!(left.as_array().map(Vec::len) == Some(3), "networks are left");
    let rows = [
        ("no other network", median(&mut before).unwrap_or_default()),
        ("500 networks, 1,000 published ports", median(&mut after).unwrap_or_default()),
    ];
    report.times("`run --rm -p 80 busybox true` among many networks", "", &rows);
    Ok(())
}
