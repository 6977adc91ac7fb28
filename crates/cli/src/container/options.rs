//! The flags that `run` and `create` share: one table, in the order of the alphabet.

use crate::grammar::Flag;
use crate::grammar::number::{check_cpus, check_swap, check_u16};
use crate::option::{device, env, gpu, label, mount, network, throttle, ulimit};

const CGROUPNS: &str = "Cgroup namespace to use (host|private)\n'host':    Run the container in the host's cgroup \
    namespace\n'private': Run the container in its own private cgroup namespace\n'':        Use the cgroup namespace as \
    configured by the daemon (default)";

/// Flags of the container's process and files.
pub static PROCESS: &[Flag] = &[
    Flag::list("attach", "Attach to STDIN, STDOUT or STDERR").short('a').check(label::check_stream),
    Flag::map("annotation", "Add an annotation to the container (passed through to the OCI runtime)")
        .check(label::check_pair),
    Flag::text("cidfile", "Write the container ID to the file"),
    Flag::text("entrypoint", "Overwrite the default ENTRYPOINT of the image"),
    Flag::list("env", "Set environment variables").short('e').check(env::check),
    Flag::list("env-file", "Read in a file of environment variables"),
    Flag::list("group-add", "Add additional groups to join"),
    Flag::text("health-cmd", "Command to run to check health"),
    Flag::duration("health-interval", "Time between running the check (ms|s|m|h) (default 0s)"),
    Flag::int("health-retries", "Consecutive failures needed to report unhealthy"),
    Flag::duration(
        "health-start-interval",
        "Time between running the check during the start period (ms|s|m|h) (default 0s)",
    ),
    Flag::duration(
        "health-start-period",
        "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)",
    ),
    Flag::duration("health-timeout", "Maximum time to allow one check to run (ms|s|m|h) (default 0s)"),
    Flag::switch("help", "Print usage"),
    Flag::text("hostname", "Container host name").short('h'),
    Flag::text("domainname", "Container NIS domain name"),
    Flag::switch("init", "Run an init inside the container that forwards signals and reaps processes"),
    Flag::switch("interactive", "Keep STDIN open even if not attached").short('i'),
    Flag::list("label", "Set meta data on a container").short('l').check(label::check_label),
    Flag::list("label-file", "Read in a line delimited file of labels"),
    Flag::text("log-driver", "Logging driver for the container"),
    Flag::list("log-opt", "Log driver options"),
    Flag::text("name", "Assign a name to the container"),
    Flag::switch("no-healthcheck", "Disable any container-specified HEALTHCHECK"),
    Flag::text("platform", "Set platform if server is multi-platform capable"),
    Flag::switch("disable-content-trust", "Skip image verification").default("true").hidden(),
    Flag::switch("quiet", "Suppress the pull output").short('q'),
    Flag::text("restart", "Restart policy to apply when a container exits").default("no"),
    Flag::switch("rm", "Automatically remove the container and its associated anonymous volumes when it exits"),
    Flag::text("runtime", "Runtime to use for this container"),
    Flag::text("stop-signal", "Signal to stop the container"),
    Flag::int("stop-timeout", "Timeout (in seconds) to stop a container"),
    Flag::switch("tty", "Allocate a pseudo-TTY").short('t'),
    Flag::text("user", "Username or UID (format: <name|uid>[:<group|gid>])").short('u'),
    Flag::text("workdir", "Working directory inside the container").short('w'),
];

/// Flags of limits.
pub static RESOURCES: &[Flag] = &[
    Flag::text("blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)")
        .value("uint16")
        .check(check_u16),
    Flag::list("blkio-weight-device", "Block IO weight (relative device weight) (default [])")
        .check(throttle::check_weight),
    Flag::text("cgroup-parent", "Optional parent cgroup for the container"),
    Flag::int("cpu-count", "CPU count (Windows only)").hidden(),
    Flag::int("cpu-percent", "CPU percent (Windows only)").hidden(),
    Flag::int("cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period"),
    Flag::int("cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    Flag::int("cpu-rt-period", "Limit CPU real-time period in microseconds"),
    Flag::int("cpu-rt-runtime", "Limit CPU real-time runtime in microseconds"),
    Flag::int("cpu-shares", "CPU shares (relative weight)").short('c'),
    Flag::text("cpus", "Number of CPUs").value("decimal").check(check_cpus),
    Flag::text("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag::text("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag::list("device-read-bps", "Limit read rate (bytes per second) from a device (default [])")
        .check(throttle::check_bytes),
    Flag::list("device-read-iops", "Limit read rate (IO per second) from a device (default [])")
        .check(throttle::check_operations),
    Flag::list("device-write-bps", "Limit write rate (bytes per second) to a device (default [])")
        .check(throttle::check_bytes),
    Flag::list("device-write-iops", "Limit write rate (IO per second) to a device (default [])")
        .check(throttle::check_operations),
    Flag::bytes("io-maxbandwidth", "Maximum IO bandwidth limit for the system drive (Windows only)").hidden(),
    Flag::int("io-maxiops", "Maximum IOps limit for the system drive (Windows only)").hidden(),
    Flag::bytes("kernel-memory", "Kernel memory limit"),
    Flag::bytes("memory", "Memory limit").short('m'),
    Flag::bytes("memory-reservation", "Memory soft limit"),
    Flag::bytes("memory-swap", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap").check(check_swap),
    Flag::int("memory-swappiness", "Tune container memory swappiness (0 to 100)").default("-1"),
    Flag::switch("oom-kill-disable", "Disable OOM Killer"),
    Flag::int("oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)"),
    Flag::int("pids-limit", "Tune container pids limit (set -1 for unlimited)"),
    Flag::bytes("shm-size", "Size of /dev/shm"),
    Flag::list("ulimit", "Ulimit options (default [])").value("ulimit").check(ulimit::check),
];

/// Flags of isolation, devices and storage.
pub static ISOLATION: &[Flag] = &[
    Flag::list("cap-add", "Add Linux capabilities"),
    Flag::list("cap-drop", "Drop Linux capabilities"),
    Flag::text("cgroupns", CGROUPNS),
    Flag::list("device", "Add a host device to the container"),
    Flag::list("device-cgroup-rule", "Add a rule to the cgroup allowed devices list").check(device::check_rule),
    Flag::list("gpus", "GPU devices to add to the container ('all' to pass all GPUs)")
        .value("gpu-request")
        .check(gpu::check),
    Flag::text("ipc", "IPC mode to use"),
    Flag::text("isolation", "Container isolation technology"),
    Flag::list("mount", "Attach a filesystem mount to the container").value("mount").check(mount::check),
    Flag::text("pid", "PID namespace to use"),
    Flag::switch("privileged", "Give extended privileges to this container"),
    Flag::switch("read-only", "Mount the container's root filesystem as read only"),
    Flag::list("security-opt", "Security Options"),
    Flag::list("storage-opt", "Storage driver options for the container"),
    Flag::map("sysctl", "Sysctl options").check(label::check_sysctl),
    Flag::map("time-offset", "Offset of a clock in the container: monotonic=DURATION or boottime=DURATION")
        .check(check_time_offset),
    Flag::list("tmpfs", "Mount a tmpfs directory"),
    Flag::switch("use-api-socket", "Bind mount the API socket and required auth"),
    Flag::text("userns", "User namespace to use"),
    Flag::text("uts", "UTS namespace to use"),
    Flag::list("volume", "Bind mount a volume").short('v'),
    Flag::text("volume-driver", "Optional volume driver for the container"),
    Flag::list("volumes-from", "Mount volumes from the specified container(s)"),
];

/// Flags of networks.
pub static NETWORK: &[Flag] = &[
    Flag::list("add-host", "Add a custom host-to-IP mapping (host:ip)").check(label::check_host),
    Flag::list("dns", "Set custom DNS servers").check(label::check_address),
    Flag::list("dns-option", "Set DNS options"),
    Flag::list("dns-option", "").also("dns-opt"),
    Flag::list("dns-search", "Set custom DNS search domains"),
    Flag::list("expose", "Expose a port or a range of ports"),
    Flag::text("ip", "IPv4 address (e.g., 172.30.100.104)"),
    Flag::text("ip6", "IPv6 address (e.g., 2001:db8::33)"),
    Flag::list("link", "Add link to another container").check(label::check_link),
    Flag::list("link-local-ip", "Container IPv4/IPv6 link-local addresses"),
    Flag::text("mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag::text("net-rate-in", "Most bits per second that come in (10m, 500k, 1.5gbit)").value("rate"),
    Flag::text("net-rate-out", "Most bits per second that go out").value("rate"),
    Flag::list("network", "Connect a container to a network").value("network").check(network::check),
    Flag::list("network", "").value("network").check(network::check).also("net"),
    Flag::list("network-alias", "Add network-scoped alias for the container"),
    Flag::list("network-alias", "").also("net-alias"),
    Flag::list("publish", "Publish a container's port(s) to the host").short('p'),
    Flag::switch("publish-all", "Publish all exposed ports to random ports").short('P'),
];

fn check_time_offset(text: &str) -> Result<(), String> {
    match text.split_once('=') {
        Some(("monotonic" | "boottime", offset)) => crate::grammar::number::check_duration(offset),
        _ => Err("must be monotonic=DURATION or boottime=DURATION".into()),
    }
}
