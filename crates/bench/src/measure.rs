//! Times: a single run, an exec, many starts at once, lists, the daemon's start-up.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use berth_blackbox::{Engine, Kind, busybox};
use serde_json::json;

use crate::floor::Floor;
use crate::report::{Report, median};
use crate::subject::{FOREIGN, Subjects, time};

/// How many containers start at once, and how often.
const AT_ONCE: usize = 40;
const AT_ONCE_ROUNDS: usize = 3;
/// Containers of which the list is asked for.
const LISTED: usize = 500;

/// `run --rm busybox true` and `exec true`, with the floor and the clients' own start beside them.
pub fn single_commands(subjects: &Subjects, rounds: usize, report: &mut Report) -> Result<()> {
    let rootfs = busybox::rootfs().map_err(anyhow::Error::msg)?;
    let floor = Floor::prepare(&rootfs)?;
    let pairs = subjects.pairs();
    for (_, engine) in subjects.engines() {
        engine.run("bench", &["sleep", "3600"], json!({}));
    }
    let mut floors = Vec::new();
    let mut runs = vec![Vec::new(); pairs.len()];
    let mut execs = vec![Vec::new(); pairs.len()];
    for round in 0..rounds {
        floors.push(floor.once(round)?);
        for (at, (_, engine, client)) in pairs.iter().enumerate() {
            runs[at].push(time(engine, client, &["run", "--rm", "busybox", "true"])?);
        }
        for (at, (_, engine, client)) in pairs.iter().enumerate() {
            execs[at].push(time(engine, client, &["exec", "bench", "true"])?);
        }
    }
    for (_, engine) in subjects.engines() {
        engine.http().delete("/containers/bench?force=1");
    }
    let floor_note = "The floor is a bare clone3 into the same seven namespaces (user included), overlay by the new mount API, \
        pivot_root, exec and wait, without any engine. Ratios are to the floor.";
    let mut rows = vec![("floor: clone3 + overlay + exec + wait", median(&mut floors).unwrap_or_default())];
    rows.extend(labelled(&pairs, &mut runs));
    report.times("`run --rm busybox true`", floor_note, &rows);
    let rows = labelled(&pairs, &mut execs);
    report.times(
        "`exec CONTAINER true`",
        "Client's start to client's end. Ratios are to berth with its own client.",
        &rows,
    );
    Ok(())
}

type Pair<'a> = (&'static str, &'a Engine, &'a Path);

fn labelled<'a>(pairs: &[Pair<'a>], times: &mut [Vec<Duration>]) -> Vec<(&'static str, Duration)> {
    pairs.iter().zip(times).map(|((label, _, _), times)| (*label, median(times).unwrap_or_default())).collect()
}

/// Creates and starts [`AT_ONCE`] containers from as many threads through the API, and gives the rate.
pub fn many_at_once(subjects: &Subjects, report: &mut Report) -> Result<()> {
    let engines = subjects.engines();
    let mut rates = vec![Vec::new(); engines.len()];
    for _ in 0..AT_ONCE_ROUNDS {
        for (at, (_, engine)) in engines.iter().enumerate() {
            let begin = Instant::now();
            let ids: Vec<String> = std::thread::scope(|scope| {
                let start = || scope.spawn(|| engine.run("", &["sleep", "3600"], json!({})));
                let starts: Vec<_> = (0..AT_ONCE).map(|_| start()).collect();
                starts.into_iter().map(|start| start.join().expect("a start")).collect()
            });
            rates[at].push(AT_ONCE as f64 / begin.elapsed().as_secs_f64());
            for id in ids {
                engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
            }
        }
    }
    let rows: Vec<(String, f64)> = engines
        .iter()
        .zip(&mut rates)
        .map(|((label, _), rates)| ((*label).to_owned(), median(rates).unwrap_or_default()))
        .collect();
    let note = "Create and start of 40 containers from 40 threads through the API; more is better.";
    report.numbers("40 starts at once", note, "starts per second", &rows);
    Ok(())
}

/// `ps -a` with up to [`LISTED`] containers, and the daemon's start with `stored` containers on disk.
pub fn lists_and_start_up(mut subjects: Subjects, stored: usize, report: &mut Report) -> Result<()> {
    let listed = LISTED.min(stored);
    for (_, engine) in subjects.engines() {
        (0..listed).for_each(|_| drop(engine.create("", &["true"], json!({}))));
    }
    let pairs = subjects.pairs();
    let mut lists = vec![Vec::new(); pairs.len()];
    for _ in 0..11 {
        for (at, (_, engine, client)) in pairs.iter().enumerate() {
            lists[at].push(time(engine, client, &["ps", "-a"])?);
        }
    }
    let rows = labelled(&pairs, &mut lists);
    let foreign = rows.iter().find(|(label, _)| *label == FOREIGN).map(|(_, time)| *time);
    let note = match foreign {
        Some(_) => "Ratios are to berth with its own client.",
        None => "The docker command is not installed here.",
    };
    report.times(&format!("`ps -a` with {listed} containers"), note, &rows);
    for (_, engine) in subjects.engines() {
        (listed..stored).for_each(|_| drop(engine.create("", &["true"], json!({}))));
    }
    let mut rows = vec![("berth", start_up(&mut subjects.berth)?)];
    if let Some(docker) = &mut subjects.docker {
        rows.push(("dockerd", start_up(docker)?));
    }
    let note = "From the start of the process to its first answer on the socket.";
    report.times(&format!("Start-up with {stored} stored containers"), note, &rows);
    Ok(())
}

fn start_up(engine: &mut Engine) -> Result<Duration> {
    let rounds = if engine.kind() == Kind::Docker { 3 } else { 7 };
    let mut times = Vec::new();
    for _ in 0..rounds {
        engine.stop_daemon();
        let begin = Instant::now();
        engine.start_daemon();
        times.push(begin.elapsed());
    }
    median(&mut times).context("a round")
}
