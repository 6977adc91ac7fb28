//! What isolation costs: the same program on the host and in a default container, A B B A, medians of paired ratios.
//!
//! Beside some rows stands a third way, which tells whose cost it is: an overlay without an engine, or a container
//! without the filter of system calls.

mod packets;
mod table;
mod work;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_blackbox::{Engine, Kind, busybox};
use serde_json::json;

use crate::network::World;
use table::{Row, WORKS, Way, Work};

const PORT: u16 = 5302;
const IMAGE: &str = "overhead:1";

/// `--work NAME`: one work, its nanoseconds on standard output; `serve` runs until it is killed.
pub fn work(name: &str, place: &Path, address: Option<SocketAddr>) -> Result<()> {
    if name == "serve" {
        return packets::serve(PORT);
    }
    let took = match name.strip_prefix("tcp-") {
        Some(name) => packets::run(name, address)?,
        None => work::run(name, place)?,
    };
    println!("{}", took.as_nanos());
    Ok(())
}

/// Everything, and the page that says it.
pub fn overhead(binary: &Path, rounds: usize) -> Result<String> {
    let bench = Bench::start(binary)?;
    let mut rows = Vec::new();
    for work in WORKS {
        eprintln!("{}", work.does);
        rows.push(bench.row(work, rounds)?);
    }
    table::page(binary, rounds, &rows)
}

/// The engine with its two containers, and the folders of the host that are worked in.
struct Bench {
    engine: Engine,
    client: PathBuf,
    /// This program, where the host runs it.
    program: PathBuf,
    world: World,
}

impl Bench {
    fn start(binary: &Path) -> Result<Bench> {
        let client = binary.canonicalize().with_context(|| format!("{}: make build", binary.display()))?;
        let program = std::env::current_exe()?;
        let mut engine = Engine::launch(Kind::Berth, client.clone(), &[]);
        engine.import_busybox();
        engine.import(IMAGE, &image()?, &["CMD [\"sleep\", \"7200\"]", "ENV PATH=/bin"]);
        let world = World::beside(&engine)?;
        let bench = Bench { engine, client, program, world };
        bench.make_folders()?;
        let mount = format!("{}:/berth-bench:ro", bench.program.display());
        for (name, mut host) in [
            ("default", json!({})),
            ("unfiltered", json!({"SecurityOpt": ["seccomp=unconfined"]})),
            ("host-users", json!({"UsernsMode": "host"})),
        ] {
            host["Binds"] = json!([mount, format!("{name}:/volume")]);
            bench.engine.run(name, &["sleep", "7200"], json!({"Image": IMAGE, "HostConfig": host}));
        }
        for way in [Way::Peer, Way::Container] {
            bench.serve(way)?;
        }
        Ok(bench)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.engine.place().join("overhead").join(name)
    }

    /// The image's tree on the host, and the folders of an overlay over it.
    fn make_folders(&self) -> Result<()> {
        for name in ["plain", "upper", "work", "merged"] {
            std::fs::create_dir_all(self.folder(name))?;
        }
        for name in work::tree_files() {
            let path = self.folder("plain").join("tree").join(name);
            std::fs::create_dir_all(path.parent().context("a folder")?)?;
            std::fs::write(path, "x")?;
        }
        Ok(())
    }

    /// Starts a server of packets in the container or beside the host, and waits until it answers.
    fn serve(&self, way: Way) -> Result<()> {
        let program = self.program.display().to_string();
        if way == Way::Container {
            let words = ["exec", "-d", "default", "/berth-bench", "--work", "serve"];
            ensure!(self.engine.client(&self.client, &words).status()?.success(), "no server in the container");
        } else {
            let mut server = self.engine.neighbour("nsenter");
            server.args(["-n", "-t", &self.world.holder_pid(), &program, "--work", "serve"]);
            self.world.keep(server.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
        }
        let address = self.address(way);
        for _ in 0..100 {
            let words = [&program, "--work", "tcp-questions", "--address", &address];
            if self.engine.host(&words).code == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        anyhow::bail!("no server answers at {address}")
    }

    fn address(&self, way: Way) -> String {
        let host = match way {
            Way::Container => {
                let seen = self.engine.inspect("default");
                seen["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].as_str().unwrap_or_default().to_owned()
            }
            _ => "10.255.0.2".to_owned(),
        };
        format!("{host}:{PORT}")
    }

    /// One row: the ways take turns, forth and back.
    fn row(&self, work: &'static Work, rounds: usize) -> Result<Row> {
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); work.ways.len()];
        // One round before, which fills caches and is not counted.
        for round in 0..=rounds {
            let mut order: Vec<usize> = (0..work.ways.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for at in order {
                let took = self.once(work, work.ways[at])?;
                if round > 0 {
                    times[at].push(took);
                }
            }
        }
        Ok(Row { work, times })
    }

    /// One work, one way.
    fn once(&self, work: &Work, way: Way) -> Result<Duration> {
        let program = self.program.display().to_string();
        let address = self.address(way);
        let mut tail = vec!["--work", work.name];
        if work.name.starts_with("tcp-") && work.is_bridge {
            tail.extend(["--address", &address]);
            let words: Vec<&str> = std::iter::once(program.as_str()).chain(tail).collect();
            return nanoseconds(&self.engine.host(&words));
        }
        let output = match way {
            Way::Container | Way::Unfiltered | Way::HostUsers => {
                let name = match way {
                    Way::Unfiltered => "unfiltered",
                    Way::HostUsers => "host-users",
                    _ => "default",
                };
                let place = if work.on_volume { "/volume" } else { "/" };
                let words = ["exec", name, "/berth-bench"].into_iter().chain(tail).chain(["--place", place]);
                let words: Vec<&str> = words.collect();
                berth_blackbox::command::run(self.engine.client(&self.client, &words), b"")
            }
            Way::Host | Way::Peer => {
                let place = self.folder("plain").display().to_string();
                let words = std::iter::once(program.as_str()).chain(tail).chain(["--place", &place]);
                self.engine.host(&words.collect::<Vec<_>>())
            }
            Way::Overlay => {
                let [plain, upper, lower_work, merged] = ["plain", "upper", "work", "merged"].map(|n| self.folder(n));
                let script = format!(
                    "mount -t overlay overlay -o lowerdir={},upperdir={},workdir={} {merged} && exec {program} {} --place {merged}",
                    plain.display(),
                    upper.display(),
                    lower_work.display(),
                    tail.join(" "),
                    merged = merged.display(),
                );
                self.engine.host(&["unshare", "-m", "sh", "-c", &script])
            }
        };
        nanoseconds(&output)
    }
}

impl Drop for Bench {
    /// The pair of links goes now: at its end the engine looks at what is left in its network namespace.
    fn drop(&mut self) {
        self.engine.host(&["ip", "link", "del", "bench0"]);
    }
}

fn nanoseconds(output: &berth_blackbox::Output) -> Result<Duration> {
    ensure!(output.code == 0, "{}: {}{}", output.line, output.text(), output.stderr);
    Ok(Duration::from_nanos(output.text().trim().parse()?))
}

/// BusyBox and the tree, as one archive.
fn image() -> Result<Vec<u8>> {
    let rootfs = busybox::rootfs().map_err(anyhow::Error::msg)?;
    let mut archive = tar::Archive::new(rootfs.as_slice());
    let mut builder = tar::Builder::new(Vec::new());
    for entry in archive.entries()? {
        let mut entry = entry?;
        let mut header = entry.header().clone();
        let path = entry.path()?.into_owned();
        match entry.link_name()? {
            Some(target) => builder.append_link(&mut header, path, target)?,
            None => builder.append_data(&mut header, path, &mut entry)?,
        }
    }
    for name in work::tree_files() {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("tree/{name}"), &b"x"[..])?;
    }
    Ok(builder.into_inner()?)
}
