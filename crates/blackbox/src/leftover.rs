//! What an engine leaves on the machine: mounts, links, cgroups, processes, files of containers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Folders that hold one entry per container and must be empty without any.
const CONTAINER_FOLDERS: &[&str] = &["run/containers", "data/containers"];

/// The engines' own bridges, which appear with the first container and stay.
const BRIDGES: &[&str] = &["berth0", "docker0"];

/// A list of everything found, as sentences that name the thing.
#[derive(Debug, Default, Clone)]
pub struct Traces(BTreeSet<String>);

impl Traces {
    /// Looks at the namespaces of process `holder`, at the cgroups named `cgroup`, and at what lies in `place`.
    pub fn look(place: &Path, cgroup: &str, holder: u32) -> Traces {
        let mut found = BTreeSet::new();
        let mounts = std::fs::read_to_string(format!("/proc/{holder}/mountinfo")).unwrap_or_default();
        let point = |line: &str| line.split(' ').nth(4).unwrap_or_default().to_owned();
        let here = place.to_string_lossy();
        // dockerd keeps the host's own network namespace mounted once host mode was used; it is no container's.
        let mounts = mounts.lines().filter(|line| !line.contains("/run/netns/default "));
        found.extend(mounts.map(point).filter(|at| at.starts_with(&*here)).map(|at| format!("mount {at}")));
        found.extend(
            links(holder)
                .into_iter()
                .filter(|link| !BRIDGES.contains(&link.as_str()))
                .map(|link| format!("link {link}")),
        );
        let cgroups = cgroups(cgroup).into_iter().flat_map(|top| below(&top));
        found.extend(cgroups.map(|path| format!("cgroup {}", path.display())));
        found.extend(processes(place).into_iter().map(|(pid, line)| format!("process {pid} {line}")));
        for folder in CONTAINER_FOLDERS {
            let entries = std::fs::read_dir(place.join(folder)).into_iter().flatten().flatten();
            found.extend(entries.map(|entry| format!("file {}", entry.path().display())));
        }
        Traces(found)
    }

    /// What is here and was not in `before`. A daemon started again is the same daemon.
    pub fn beyond(&self, before: &Traces) -> Vec<String> {
        let is_daemon = |trace: &&String| {
            let line = trace.splitn(3, ' ').nth(2).unwrap_or_default();
            trace.starts_with("process ") && before.0.iter().any(|old| old.ends_with(line))
        };
        self.0.difference(&before.0).filter(|trace| !is_daemon(trace)).cloned().collect()
    }
}

fn links(holder: u32) -> Vec<String> {
    let output = Command::new("nsenter")
        .args(["--target", &holder.to_string(), "--net", "--", "ip", "-o", "link"])
        .output()
        .expect("nsenter and ip are installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = |line: &str| line.split(": ").nth(1).map(|name| name.split('@').next().unwrap_or(name).to_owned());
    text.lines().filter_map(name).collect()
}

/// The folder named `cgroup` of every hierarchy that has one.
fn cgroups(cgroup: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
    hierarchies.chain([top.to_path_buf()]).map(|path| path.join(cgroup)).filter(|path| path.is_dir()).collect()
}

/// Every folder below `top`, deepest first, without itself.
fn below(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(top).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        found.extend(below(&path));
        found.push(path);
    }
    found
}

/// Living processes whose command line names the engine's place: (pid, command line).
fn processes(place: &Path) -> Vec<(u32, String)> {
    let place = place.to_string_lossy();
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            // Clients that a test still runs (`docker -H … logs -f`) are the test's, not the engine's.
            let is_client = line.contains(" -H unix://") && !line.contains("--data-root");
            (line.contains(&*place) && !is_client).then_some((pid, line))
        })
        .collect()
}

/// Ends what is still there when a test is over, so that one failure does not spoil the next test.
pub fn sweep(place: &Path, cgroup: &str) {
    for _ in 0..40 {
        let mut pids: Vec<String> = processes(place).iter().map(|(pid, _)| pid.to_string()).collect();
        let tops = cgroups(cgroup);
        for folder in tops.iter().flat_map(|top| below(top)) {
            let members = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            pids.extend(members.lines().filter(|pid| *pid != "0").map(str::to_owned));
        }
        if !pids.is_empty() {
            Command::new("kill").arg("-KILL").args(&pids).output().ok();
        }
        for top in &tops {
            for folder in below(top) {
                std::fs::write(folder.join("freezer.state"), "THAWED").ok();
                std::fs::remove_dir(folder).ok();
            }
            std::fs::remove_dir(top).ok();
        }
        if pids.is_empty() && cgroups(cgroup).is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
