//! Memory: the proportional share (PSS) of the daemon and of what runs for each container, from smaps_rollup.

use std::time::Duration;

use anyhow::Result;
use berth_blackbox::Engine;
use serde_json::json;

use crate::report::Report;
use crate::subject::Subjects;

/// Running containers by which the growth is divided.
const RUNNING: usize = 20;

/// PSS of each engine idle, and its growth per running container (the container's own process not counted).
pub fn daemon_and_container(subjects: &Subjects, report: &mut Report) -> Result<()> {
    let (mut idle, mut each) = (Vec::new(), Vec::new());
    for (label, engine) in subjects.engines() {
        std::thread::sleep(Duration::from_secs(2));
        let before = pss_kib(engine);
        let ids: Vec<String> = (0..RUNNING).map(|_| engine.run("", &["sleep", "3600"], json!({}))).collect();
        std::thread::sleep(Duration::from_secs(2));
        let after = pss_kib(engine);
        for id in ids {
            engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
        }
        idle.push((label.to_owned(), before / 1024.0));
        each.push((label.to_owned(), (after - before) / 1024.0 / RUNNING as f64));
    }
    let note = "Proportional set size, after the measurements above (dockerd with its containerd).";
    report.numbers("Memory of the daemon, idle", note, "MiB", &idle);
    let note =
        "Growth of the engine's processes, supervisors and shims included, with 20 running containers, divided by 20.";
    report.numbers("Memory per running container", note, "MiB", &each);
    Ok(())
}

/// PSS in KiB of every process of the engine: those whose command line names its place, and docker's proxies.
fn pss_kib(engine: &Engine) -> f64 {
    let place = engine.place().to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&place)
    })
    .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok())
    .filter_map(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    })
    .sum()
}
