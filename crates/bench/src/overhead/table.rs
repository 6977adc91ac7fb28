//! The works as data, and the page of their results.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::report::median;

/// Where a work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// On the host, in a folder of the file system that the engine's data root lies on.
    Host,
    /// On the host, with a server behind a bare pair of virtual links.
    Peer,
    /// On the host, in an overlay without an engine.
    Overlay,
    /// In a default container.
    Container,
    /// In a container without the filter of system calls.
    Unfiltered,
    /// In a container without a user namespace, and so without id-mapped mounts.
    HostUsers,
}

impl Way {
    fn title(self) -> &'static str {
        match self {
            Way::Host => "host",
            Way::Peer => "bare veth pair",
            Way::Overlay => "bare overlay",
            Way::Container => "container",
            Way::Unfiltered => "no seccomp",
            Way::HostUsers => "userns=host",
        }
    }
}

/// One work, and what is asked of it.
#[derive(Debug)]
pub struct Work {
    pub name: &'static str,
    pub does: &'static str,
    /// The most that the container may take longer, in percent; none where nothing was promised.
    pub asked: Option<f64>,
    pub on_volume: bool,
    /// Between the host and the other end, and not within one.
    pub is_bridge: bool,
    /// The first is the reference, the second the container.
    pub ways: &'static [Way],
}

const fn work(name: &'static str, does: &'static str, asked: Option<f64>, ways: &'static [Way]) -> Work {
    Work { name, does, asked, on_volume: false, is_bridge: false, ways }
}

const fn on_volume(work: Work) -> Work {
    Work { on_volume: true, ..work }
}

const fn bridge(work: Work) -> Work {
    Work { is_bridge: true, ..work }
}

use Way::{Container, Host, HostUsers, Overlay, Peer, Unfiltered};

/// Every work, in the order of the page.
pub const WORKS: &[Work] = &[
    work("cpu", "CPU: SHA-256 of 256 MiB", Some(1.0), &[Host, Container]),
    work("memory", "memory: 2 GiB copied", Some(1.0), &[Host, Container]),
    work("faults", "memory: 65,536 fresh pages touched", None, &[Host, Container]),
    work("getpid", "10^6 getpid", Some(3.0), &[Host, Container, Unfiltered]),
    on_volume(work(
        "openat",
        "10^6 openat and close, on a volume",
        Some(3.0),
        &[Host, Container, Unfiltered, HostUsers],
    )),
    on_volume(work("fsync", "volume: 64 writes of 4 KiB, each with fdatasync", Some(1.0), &[Host, Container])),
    on_volume(work("stream-write", "volume: 64 MiB written, fsync", Some(1.0), &[Host, Container])),
    on_volume(work("stream-read", "volume: 1 GiB read from the page cache", Some(1.0), &[Host, Container])),
    on_volume(work("metadata-write", "volume: 4,000 files made, renamed, removed", Some(1.0), &[Host, Container])),
    work("fsync", "overlay: 64 writes of 4 KiB, each with fdatasync", None, &[Host, Container, Overlay]),
    work("metadata-write", "overlay: 4,000 files made, renamed, removed", None, &[Host, Container, Overlay]),
    work("metadata-read", "overlay: 80,000 stat, 40 listings", Some(3.0), &[Host, Container, Overlay]),
    work("tcp-stream", "loopback: a stream of 1 GiB", None, &[Host, Container]),
    work("tcp-questions", "loopback: 20,000 questions of a byte", None, &[Host, Container, Unfiltered]),
    bridge(work("tcp-stream", "bridge: a stream of 1 GiB, host to container", None, &[Peer, Container])),
    bridge(work("tcp-questions", "bridge: 20,000 questions of a byte", None, &[Peer, Container])),
];

/// A work's times, one list a way, rounds in order.
#[derive(Debug)]
pub struct Row {
    pub work: &'static Work,
    pub times: Vec<Vec<Duration>>,
}

impl Row {
    /// Percent by which a way takes longer than the reference: the median over the rounds' own ratios, so that what
    /// the machine does meanwhile meets both.
    fn percent(&self, way: usize) -> f64 {
        let pairs = self.times[way].iter().zip(&self.times[0]);
        let mut ratios: Vec<f64> = pairs.map(|(own, other)| own.as_secs_f64() / other.as_secs_f64()).collect();
        (median(&mut ratios).unwrap_or(1.0) - 1.0) * 100.0
    }

    fn milliseconds(&self, way: usize) -> f64 {
        let mut times = self.times[way].clone();
        median(&mut times).unwrap_or_default().as_secs_f64() * 1e3
    }

    fn line(&self) -> String {
        let work = self.work;
        let percent = self.percent(1);
        let asked = work.asked.map_or("—".to_owned(), |asked| format!("≤ {asked:.0} %"));
        let verdict = match work.asked {
            None => "",
            Some(asked) if percent <= asked => "met",
            Some(_) => "**above**",
        };
        let beside = (2..work.ways.len()).map(|at| format!("{}: {:+.1} %", work.ways[at].title(), self.percent(at)));
        let beside = beside.collect::<Vec<_>>().join(", ");
        format!(
            "| {} | {} {:.2} ms | {:.2} ms | {percent:+.1} % | {asked} | {verdict} | {beside} |\n",
            work.does,
            work.ways[0].title(),
            self.milliseconds(0),
            self.milliseconds(1),
        )
    }
}

/// The whole page.
pub fn page(binary: &Path, rounds: usize, rows: &[Row]) -> Result<String> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism()?;
    let mut text = format!(
        "# What isolation costs\n\nMade by `make bench-overhead` (`berth-bench --only-overhead --overhead-rounds {rounds} \
         --binary {} --output docs/overhead.md`):\nthe same static program on the host and in a default container (user \
         namespace, cgroup limits, seccomp filter, overlay, bridge).\nThe ways take turns forth and back (A B B A), {rounds} \
         rounds; times are medians, percent is the median of the rounds' own ratios. Times are processor time where a \
         work never waits,\nand wall time for synchronised writes and packets.\nThe last column says whose cost it \
         is: an overlay mounted by hand on the host, or a container without its filter\nof system calls or its user \
         namespace, against the same reference.\n\nThis run: Linux {}, {cores} cores, load {} when it ended.\n\n",
        binary.display(),
        kernel.split('.').take(2).collect::<Vec<_>>().join("."),
        load.split(' ').next().unwrap_or("unknown"),
    );
    text += "| work | reference | container | longer by | asked | | beside it |\n| --- | --- | --- | --- | --- | --- | --- |\n";
    rows.iter().for_each(|row| text += &row.line());
    text += NOTES;
    Ok(text)
}

const NOTES: &str = "
## How to read what is above

- **System calls.** The filter is compiled so that the kernel knows, when it is installed, which calls pass whatever
  their arguments are (it reads the number and the architecture alone on their way), and keeps them in a bitmap a call is
  looked up in without running the filter (kernel 5.11 and later). What is left of it is the kernel's own slow entry for
  any process with a filter, some ten nanoseconds a call, which no filter avoids; the column `no seccomp` shows the rest.
  `--security-opt seccomp=unconfined` takes it away. Filters are installed with `SPEC_ALLOW`, so no kernel switches on
  the mitigation of speculative store bypass for a container's sake.
- **Overlay.** What a bare overlay costs, a container's root costs: two lookups for a name instead of one, and a copy of
  the upper file's inode. Put what is written often on a volume; that is the host's own file system, id-mapped.
- **Packets.** Wall time of two programs on the cores that are there: on a busy machine it says more about the others than
  about the container. Read it from a run whose load, given above, is below the number of cores.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_of_pairs_and_verdicts_follow_it() {
        let ms = |list: &[u64]| list.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>();
        // A machine that becomes three times slower in between changes nothing.
        let row = Row { work: &WORKS[0], times: vec![ms(&[100, 300, 100]), ms(&[102, 306, 102])] };
        assert!((row.percent(1) - 2.0).abs() < 0.01);
        assert!(row.line().contains("| +2.0 % | ≤ 1 % | **above** |"), "{}", row.line());
        let row = Row { work: &WORKS[0], times: vec![ms(&[100]), ms(&[100])] };
        assert!(row.line().contains("| met |"), "{}", row.line());
    }

    #[test]
    fn every_work_has_a_reference_and_the_container() {
        assert!(WORKS.iter().all(|work| work.ways[1] == Way::Container));
    }
}
