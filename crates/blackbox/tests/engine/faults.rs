//! Deaths at every step of a container's life: of its supervisor, its init, the daemon and the client. Whatever dies,
//! nothing that was acknowledged is lost, nothing stays behind, and a bystander never notices.
//!
//! Debug builds die where a file in the runtime root says (`crates/kit/src/crash.rs`). The short run visits each point
//! once; `make soak` sets `BERTH_SOAK` to the number of deaths wanted, at random points and moments.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use berth_blackbox::leftover::Traces;
use berth_blackbox::{Engine, Kind};
use serde_json::{Value, json};

/// Right states are there, and wrong things gone, this soon after a death.
const SOON: Duration = Duration::from_secs(2);
/// A machine at its limit is given this much more in the long run, where deaths are many and cores are few.
const PATIENCE: Duration = Duration::from_secs(8);

/// An engine with a bystander, and what it was like before the deaths.
struct World {
    engine: Engine,
    bystander: Value,
    before: Traces,
    word: u64,
}

/// What a client was told in the life of one container.
#[derive(Debug, Default)]
struct Told {
    created: bool,
    started: bool,
    stopped: bool,
    removed: bool,
    /// A removal was asked for: gone and there are both right.
    removing: bool,
}

impl World {
    fn new() -> Option<World> {
        let mut engine = Engine::start();
        if engine.kind() != Kind::Berth {
            return None;
        }
        engine.kill_daemon();
        let file = engine.place().join("run/crash").display().to_string();
        assert!(engine.start_daemon_with(&[("BERTH_CRASH_FILE", &file)]));
        engine.run("bystander", &["sleep", "86400"], json!({"HostConfig": {"PortBindings": {"80/tcp": [{}]}}}));
        let bystander = engine.inspect("bystander")["State"].clone();
        let before = engine.look();
        Some(World { engine, bystander, before, word: 0 })
    }

    /// Arms a point of a role, once.
    fn arm(&mut self, role: &str, number: u64) {
        self.word += 1;
        let path = self.engine.place().join("run/crash");
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, format!("{role} {number} {}\n", self.word)).expect("the runtime root");
        std::fs::rename(fresh, path).expect("the runtime root");
    }

    /// Whether the armed point was not reached, and is so no more.
    fn disarm(&self) -> bool {
        std::fs::remove_file(self.engine.place().join("run/crash")).is_ok()
    }

    /// Starts a daemon again where it has died.
    fn revive(&mut self) {
        if !self.engine.is_alive() {
            self.engine.bury_daemon();
            let file = self.engine.place().join("run/crash").display().to_string();
            assert!(self.engine.start_daemon_with(&[("BERTH_CRASH_FILE", &file)]), "{}", self.engine.log());
        }
    }

    fn status(&self, method: &str, path: &str, body: &str) -> Option<u16> {
        let json = [("Content-Type", "application/json")];
        self.engine.http().try_request(method, path, &json, body.as_bytes()).ok().map(|answer| answer.status)
    }

    /// Create, start, exec, kill, wait, remove, as far as it goes.
    fn life(&self) -> Told {
        let mut told = Told::default();
        let body =
            json!({"Image": "busybox", "Cmd": ["sleep", "600"], "HostConfig": {"Binds": ["kept:/v"]}}).to_string();
        told.created = self.status("POST", "/containers/create?name=it", &body) == Some(201);
        if !told.created {
            return told;
        }
        told.started = self.status("POST", "/containers/it/start", "") == Some(204);
        if !told.started {
            return told;
        }
        let exec = self.engine.http().try_request(
            "POST",
            "/containers/it/exec",
            &[("Content-Type", "application/json")],
            br#"{"Cmd": ["true"]}"#,
        );
        if let Ok(exec) = exec.map(|answer| answer.json()["Id"].as_str().unwrap_or_default().to_owned()) {
            self.status("POST", &format!("/exec/{exec}/start"), r#"{"Detach": true}"#);
        }
        told.stopped = self.status("POST", "/containers/it/kill", "") == Some(204)
            && self.status("POST", "/containers/it/wait", "") == Some(200);
        told.removing = told.stopped;
        told.removed = told.removing && self.status("DELETE", "/containers/it", "") == Some(204);
        told
    }

    /// The right state is there within [`SOON`]; then everything of this life is taken away, and nothing is left.
    fn check(&mut self, told: &Told, what: &str, soon: Duration) {
        let end = Instant::now() + soon;
        while let Err(wrong) = self.is_right(told) {
            assert!(Instant::now() < end, "{what}: {wrong} after {told:?}\n{}", self.engine.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.status("DELETE", "/containers/it?force=1", "");
        self.status("DELETE", "/volumes/kept", "");
        let end = Instant::now() + soon;
        loop {
            let left = self.engine.look().beyond(&self.before);
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < end, "{what}: left behind after {told:?}:\n{}", left.join("\n"));
            std::thread::sleep(Duration::from_millis(10));
        }
        let bystander = self.engine.inspect("bystander")["State"].clone();
        assert_eq!(bystander, self.bystander, "{what}: the bystander noticed");
    }

    fn is_right(&self, told: &Told) -> Result<(), String> {
        let answer = self.engine.http().get("/containers/it/json");
        let state = answer.json()["State"].clone();
        let status = state["Status"].as_str().unwrap_or_default().to_owned();
        if told.created && !told.removing && answer.status != 200 {
            return Err(format!("an acknowledged container is lost: {}", answer.text()));
        }
        if told.removed && answer.status != 404 {
            return Err(format!("a removed container is there: {state}"));
        }
        let pid = state["Pid"].as_u64().unwrap_or(0);
        let lives = pid > 0 && std::path::Path::new(&format!("/proc/{pid}")).exists();
        match status.as_str() {
            "running" if !lives => Err(format!("it runs without a process: {state}")),
            "running" if told.stopped => Err(format!("it runs after its end was told: {state}")),
            "exited" | "created" | "dead" if pid != 0 => Err(format!("it has ended and has a process: {state}")),
            // What was started has run: it is never again as new.
            "created" if told.started => Err(format!("its start is forgotten: {state}")),
            "removing" => Err("it is being removed for ever".into()),
            _ => Ok(()),
        }
    }
}

macro_rules! world {
    () => {
        match World::new() {
            Some(world) => world,
            None => berth_blackbox::skip!("a death is berth's own promise"),
        }
    };
}

/// Visits the points of a role one after the other, until a life passes fewer.
fn every_point_of(role: &str) {
    let mut world = world!();
    for number in 1.. {
        world.arm(role, number);
        let told = world.life();
        // An init behind its walls cannot take the file away: a life that came to its end says that none died.
        let untouched = world.disarm() && told.removed;
        world.revive();
        world.check(&told, &format!("{role} died at its point {number}"), SOON);
        if untouched {
            assert!(number > 6, "{role} passed {number} points only: is this a debug build?");
            return;
        }
        assert!(number < 60, "{role} passes more points than expected");
    }
}

#[test]
fn a_supervisor_that_dies_at_any_point() {
    every_point_of("supervisor");
}

#[test]
fn an_init_that_dies_at_any_point() {
    every_point_of("init");
}

/// A client that leaves in the middle: the request is cut at each of some bytes, or its answer is never read.
#[test]
fn a_client_that_dies_at_any_point() {
    let mut world = world!();
    for moment in 0..8 {
        leave_early(&world, moment);
        let told = Told { removing: true, ..Told::default() };
        // What was asked may still be under way: it comes to its end.
        std::thread::sleep(Duration::from_millis(30 * moment));
        world.check(&told, &format!("the client left at moment {moment}"), SOON);
    }
}

fn leave_early(world: &World, moment: u64) {
    let body = json!({"Image": "busybox", "Cmd": ["sleep", "600"], "HostConfig": {"AutoRemove": true}}).to_string();
    let send = |method: &str, path: &str, body: &str, bytes: usize| {
        let text = format!(
            "{method} /v1.41{path} HTTP/1.1\r\nHost: e\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = UnixStream::connect(world.engine.socket()).expect("the daemon listens");
        stream.write_all(&text.as_bytes()[..text.len().min(bytes)]).expect("it reads");
    };
    if moment < 4 {
        return send("POST", "/containers/create?name=it", &body, 40 + 60 * moment as usize);
    }
    world.status("POST", "/containers/create?name=it", &body);
    match moment {
        4 => send("POST", "/containers/it/start", "", 4096),
        5 => {
            world.status("POST", "/containers/it/start", "");
            send("POST", "/containers/it/kill", "", 4096);
        }
        6 => {
            world.status("POST", "/containers/it/start", "");
            send("POST", "/containers/it/attach?stream=1&stdout=1", "", 4096);
        }
        _ => send("DELETE", "/containers/it?force=1", "", 4096),
    }
}

/// It is said in the container's state, and nothing of it runs on without a keeper.
#[test]
fn a_supervisors_death_is_told_as_what_it_is() {
    let world = world!();
    let engine = &world.engine;
    let id = engine.run("kept", &["sh", "-c", "sleep 600 & exec sleep 601"], json!({}));
    let pid = engine.inspect(&id)["State"]["Pid"].to_string();
    let keeper = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let keeper =
        keeper.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).expect("a parent").to_owned();
    let begin = Instant::now();
    engine.host(&["kill", "-KILL", &keeper]).ok();
    assert_eq!(engine.wait(&id), 255);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    let state = engine.inspect(&id)["State"].clone();
    assert_eq!((state["Status"].as_str(), state["ExitCode"].as_i64()), (Some("exited"), Some(255)), "{state}");
    assert!(state["Error"].as_str().is_some_and(|text| text.contains("supervisor died")), "{state}");
    // Its end may not have been collected yet by whoever adopts orphans here.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "its process runs on: {stat}");
    engine.http().post(&format!("/containers/{id}/start")).expect(204);
    assert_eq!(engine.cli(&["exec", "kept", "echo", "back"]).ok(), "back");
}

/// Random numbers (Marsaglia's xorshift), so that a run can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// `make soak`: as many deaths as `BERTH_SOAK` says.
#[test]
fn soak() {
    let Some(wanted) = std::env::var("BERTH_SOAK").ok().and_then(|text| text.parse::<u64>().ok()) else {
        berth_blackbox::skip!("the long run is make soak");
    };
    let seed = std::env::var("BERTH_SOAK_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let seed = seed.unwrap_or_else(|| std::process::id().into());
    let mut random = Random(seed * 2 + 1);
    let mut world = world!();
    let map = |world: &World| world.engine.run_to_end(&["cat", "/proc/self/uid_map"], json!({})).1;
    let first_range = map(&world);
    let (mut deaths, mut lives) = (0, 0);
    let begin = Instant::now();
    while deaths < wanted {
        lives += 1;
        let role = ["daemon", "supervisor", "init", "client", "moment"][random.below(5) as usize];
        let number = 1 + random.below(if role == "daemon" { 26 } else { 16 });
        let what = format!("seed {seed}, life {lives}, {role} {number}");
        let told = match role {
            "client" => {
                leave_early(&world, number % 8);
                deaths += 1;
                Told { removing: true, ..Told::default() }
            }
            "moment" => {
                deaths += 1;
                kill_the_daemon_soon(&mut world, number * 4)
            }
            _ => {
                world.arm(role, number);
                let told = world.life();
                deaths += u64::from(!world.disarm() || !told.removed);
                told
            }
        };
        world.revive();
        world.check(&told, &what, PATIENCE);
        if lives % 200 == 0 {
            eprintln!("{deaths} deaths in {lives} lives, {} s", begin.elapsed().as_secs());
        }
    }
    assert_eq!(map(&world), first_range, "id ranges are lost");
    println!("{deaths} deaths in {lives} lives, {} s, seed {seed}", begin.elapsed().as_secs());
}

/// SIGKILL for the daemon at a moment of a life.
fn kill_the_daemon_soon(world: &mut World, after_ms: u64) -> Told {
    let pid = world.engine.daemon_pid();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(after_ms));
        berth_blackbox::engine::signal(pid, "KILL");
    });
    let told = world.life();
    killer.join().expect("the killer");
    told
}
