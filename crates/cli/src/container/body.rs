//! From the flags of `run` and `create` to the body of POST /containers/create.

use super::networks;
use crate::grammar::{Flags, number};
use crate::option::network::Attachment;
use crate::option::{capability, device, env, gpu, label, mount, port, restart, security, throttle, ulimit, volume};
use serde_json::{Map, Value, json};

/// What the daemon gets.
#[derive(Debug)]
pub struct Body {
    /// The whole body.
    pub json: Value,
    /// Streams of `-a`, or those that are attached without it.
    pub streams: Streams,
}

/// Streams to attach.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    /// Input.
    pub stdin: bool,
    /// Output.
    pub stdout: bool,
    /// Error output.
    pub stderr: bool,
}

/// An object that leaves out what was not said.
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.put(key, value);
        }
    }

    fn on(&mut self, key: &str, on: bool) {
        if on {
            self.put(key, true);
        }
    }

    fn number(&mut self, key: &str, value: i64) {
        if value != 0 {
            self.put(key, value);
        }
    }

    fn texts<'a>(&mut self, key: &str, values: impl Iterator<Item = &'a str>) {
        self.values(key, values.map(Value::from).collect());
    }

    fn values(&mut self, key: &str, values: Vec<Value>) {
        if !values.is_empty() {
            self.put(key, values);
        }
    }

    fn object(&mut self, key: &str, object: Map<String, Value>) {
        if !object.is_empty() {
            self.put(key, object);
        }
    }
}

/// Builds the body for `image` with `command`.
///
/// # Errors
/// Docker's text for the first wrong or conflicting flag.
pub fn build(flags: &Flags, image: &str, command: &[String]) -> Result<Body, String> {
    let ports = port::parse(flags.list("publish"), flags.list("expose"))?;
    let volumes = volume::parse(flags.list("volume"))?;
    let streams = streams(flags);
    let mut config = config(flags, image, command, streams)?;
    config.object("ExposedPorts", ports.exposed);
    config.object("Volumes", volumes.anonymous);
    let mut host = Fields(Map::new());
    host.object("PortBindings", ports.bindings);
    host.texts("Binds", volumes.binds.iter().map(String::as_str));
    resources(flags, &mut host)?;
    namespaces(flags, &mut host)?;
    storage(flags, &mut host)?;
    behaviour(flags, &mut host)?;
    let networks = networks::read(flags)?;
    names(flags, &networks, &mut host);
    config.put("HostConfig", host.0);
    config.put("NetworkingConfig", json!({"EndpointsConfig": networks::endpoints(&networks)}));
    Ok(Body { json: config.0.into(), streams })
}

fn streams(flags: &Flags) -> Streams {
    let mut streams = Streams::default();
    for name in flags.list("attach") {
        match name.to_ascii_lowercase().as_str() {
            "stdin" => streams.stdin = true,
            "stdout" => streams.stdout = true,
            _ => streams.stderr = true,
        }
    }
    if !flags.given("attach") {
        streams = Streams { stdin: flags.on("interactive"), stdout: true, stderr: true };
    }
    streams
}

fn config(flags: &Flags, image: &str, command: &[String], streams: Streams) -> Result<Fields, String> {
    let detached = flags.on("detach");
    let mut config = Fields(Map::new());
    config.text("Hostname", flags.text("hostname"));
    config.text("Domainname", flags.text("domainname"));
    config.text("User", flags.text("user"));
    config.put("AttachStdin", streams.stdin && !detached);
    config.put("AttachStdout", streams.stdout && !detached);
    config.put("AttachStderr", streams.stderr && !detached);
    config.put("Tty", flags.on("tty"));
    config.put("OpenStdin", flags.on("interactive"));
    config.put("StdinOnce", flags.on("interactive") && streams.stdin && !detached);
    let variables = env::collect(flags.list("env-file"), flags.list("env"))?;
    config.values("Env", variables.into_iter().map(Value::from).collect());
    config.texts("Cmd", command.iter().map(String::as_str));
    config.put("Image", image);
    config.text("WorkingDir", flags.text("workdir"));
    if flags.given("entrypoint") {
        // An empty one clears the image's: the daemon knows it by its single empty word.
        config.put("Entrypoint", json!([flags.text("entrypoint")]));
    }
    let labels = env::labels(flags.list("label-file"), flags.list("label"))?;
    config.object("Labels", label::object(labels.iter().map(String::as_str)));
    config.text("StopSignal", flags.text("stop-signal"));
    if flags.given("stop-timeout") {
        config.put("StopTimeout", flags.int("stop-timeout"));
    }
    if let Some(health) = health(flags)? {
        config.put("Healthcheck", health);
    }
    Ok(config)
}

fn health(flags: &Flags) -> Result<Option<Value>, String> {
    let durations = [
        ("health-interval", "Interval"),
        ("health-timeout", "Timeout"),
        ("health-start-period", "StartPeriod"),
        ("health-start-interval", "StartInterval"),
    ];
    let asked = flags.given("health-cmd") || flags.given("health-retries");
    let asked = asked || durations.iter().any(|(flag, _)| flags.given(flag));
    if flags.on("no-healthcheck") {
        return match asked {
            true => Err("--no-healthcheck conflicts with --health-* options".into()),
            false => Ok(Some(json!({"Test": ["NONE"]}))),
        };
    }
    if !asked {
        return Ok(None);
    }
    let mut health = Fields(Map::new());
    if !flags.text("health-cmd").is_empty() {
        health.put("Test", json!(["CMD-SHELL", flags.text("health-cmd")]));
    }
    for (flag, key) in durations {
        let value = flags.duration_ns(flag);
        if value < 0 {
            return Err(format!("--{flag} cannot be negative"));
        }
        health.number(key, value);
    }
    if flags.int("health-retries") < 0 {
        return Err("--health-retries cannot be negative".into());
    }
    health.number("Retries", flags.int("health-retries"));
    Ok(Some(health.0.into()))
}

/// Limits, for `update` too.
fn resources(flags: &Flags, host: &mut Fields) -> Result<(), String> {
    for (flag, key) in [
        ("cpu-period", "CpuPeriod"),
        ("cpu-quota", "CpuQuota"),
        ("cpu-rt-period", "CpuRealtimePeriod"),
        ("cpu-rt-runtime", "CpuRealtimeRuntime"),
        ("cpu-shares", "CpuShares"),
        ("blkio-weight", "BlkioWeight"),
        ("oom-score-adj", "OomScoreAdj"),
    ] {
        host.number(key, flags.int(flag));
    }
    for (flag, key) in [
        ("memory", "Memory"),
        ("memory-reservation", "MemoryReservation"),
        ("memory-swap", "MemorySwap"),
        ("shm-size", "ShmSize"),
    ] {
        host.number(key, flags.bytes(flag));
    }
    if flags.given("cpus") {
        host.number("NanoCpus", number::cpus(flags.text("cpus"))?);
    }
    if flags.given("pids-limit") {
        host.put("PidsLimit", flags.int("pids-limit"));
    }
    let swappiness = flags.int("memory-swappiness");
    if swappiness != -1 && !(0..=100).contains(&swappiness) {
        return Err(format!("invalid value: {swappiness}. Valid memory swappiness range is 0-100"));
    }
    if swappiness != -1 {
        host.put("MemorySwappiness", swappiness);
    }
    host.text("CpusetCpus", flags.text("cpuset-cpus"));
    host.text("CpusetMems", flags.text("cpuset-mems"));
    host.text("CgroupParent", flags.text("cgroup-parent"));
    host.on("OomKillDisable", flags.on("oom-kill-disable"));
    type Read = fn(&str) -> Result<Value, String>;
    for (flag, key, read) in [
        ("device-read-bps", "BlkioDeviceReadBps", throttle::bytes as Read),
        ("device-write-bps", "BlkioDeviceWriteBps", throttle::bytes),
        ("device-read-iops", "BlkioDeviceReadIOps", throttle::operations),
        ("device-write-iops", "BlkioDeviceWriteIOps", throttle::operations),
        ("blkio-weight-device", "BlkioWeightDevice", throttle::weight),
    ] {
        host.values(key, flags.list(flag).map(read).collect::<Result<_, _>>()?);
    }
    // The last of a name counts.
    let mut limits = std::collections::BTreeMap::new();
    for limit in flags.list("ulimit").map(ulimit::parse) {
        let limit = limit?;
        limits.insert(limit["Name"].to_string(), limit);
    }
    host.values("Ulimits", limits.into_values().collect());
    Ok(())
}

fn namespaces(flags: &Flags, host: &mut Fields) -> Result<(), String> {
    let other = |mode: &str| mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    let check = |flag: &str, word: &str, good: bool| match good {
        true => Ok(()),
        false => Err(format!("--{flag}: invalid {word} mode")),
    };
    let (pid, uts) = (flags.text("pid"), flags.text("uts"));
    check("pid", "PID", matches!(pid, "" | "host") || other(pid))?;
    check("uts", "UTS", matches!(uts, "" | "host"))?;
    check("userns", "USER", matches!(flags.text("userns"), "" | "host" | "private"))?;
    check("cgroupns", "CGROUP", matches!(flags.text("cgroupns"), "" | "host" | "private"))?;
    host.text("PidMode", pid);
    host.text("UTSMode", uts);
    host.text("UsernsMode", flags.text("userns"));
    host.text("CgroupnsMode", flags.text("cgroupns"));
    host.text("IpcMode", flags.text("ipc"));
    host.text("Isolation", flags.text("isolation"));
    let (add, drop) = capability::effective(flags.list("cap-add"), flags.list("cap-drop"));
    host.texts("CapAdd", add.iter().map(String::as_str));
    host.texts("CapDrop", drop.iter().map(String::as_str));
    host.on("Privileged", flags.on("privileged"));
    host.texts("GroupAdd", flags.list("group-add"));
    host.object("Sysctls", label::object(flags.list("sysctl")));
    let security = security::parse(flags.list("security-opt"))?;
    host.texts("SecurityOpt", security.options.iter().map(String::as_str));
    if security.unmasked {
        host.put("MaskedPaths", json!([]));
        host.put("ReadonlyPaths", json!([]));
    }
    let mut annotations = label::object(flags.list("annotation"));
    for text in flags.list("time-offset") {
        if let Some((clock, offset)) = text.split_once('=') {
            annotations.insert(format!("io.berth.time-offset.{clock}"), offset.into());
        }
    }
    host.object("Annotations", annotations);
    Ok(())
}

fn storage(flags: &Flags, host: &mut Fields) -> Result<(), String> {
    host.values("Mounts", flags.list("mount").map(mount::parse).collect::<Result<_, _>>()?);
    host.object("Tmpfs", volume::tmpfs(flags.list("tmpfs")));
    host.texts("VolumesFrom", flags.list("volumes-from"));
    host.text("VolumeDriver", flags.text("volume-driver"));
    host.object("StorageOpt", security::storage_options(flags.list("storage-opt"))?);
    host.on("ReadonlyRootfs", flags.on("read-only"));
    flags.list("device").try_for_each(device::check)?;
    let (cdi, plain): (Vec<_>, Vec<_>) = flags.list("device").partition(|text| device::is_cdi(text));
    host.values("Devices", plain.into_iter().map(device::mapping).collect());
    host.texts("DeviceCgroupRules", flags.list("device-cgroup-rule"));
    let mut requests = flags.list("gpus").map(gpu::parse).collect::<Result<Vec<_>, _>>()?;
    if !cdi.is_empty() {
        requests.push(json!({"Driver": "cdi", "DeviceIDs": cdi}));
    }
    host.values("DeviceRequests", requests);
    Ok(())
}

fn behaviour(flags: &Flags, host: &mut Fields) -> Result<(), String> {
    let policy = restart::parse(flags.text("restart"))?;
    if flags.on("rm") && !matches!(policy["Name"].as_str(), Some("" | "no")) {
        return Err("conflicting options: cannot specify both --restart and --rm".into());
    }
    host.put("RestartPolicy", policy);
    host.on("AutoRemove", flags.on("rm"));
    let driver = flags.text("log-driver");
    let options = security::log_options(driver, flags.list("log-opt"))?;
    if !(driver.is_empty() && options.is_empty()) {
        host.put("LogConfig", json!({"Type": driver, "Config": options}));
    }
    if flags.given("init") {
        host.put("Init", flags.on("init"));
    }
    host.text("Runtime", flags.text("runtime"));
    host.text("ContainerIDFile", flags.text("cidfile"));
    host.on("PublishAllPorts", flags.on("publish-all"));
    if flags.on("use-api-socket") {
        return Err("--use-api-socket is not built yet; bind the socket with -v".into());
    }
    if flags.on("tty")
        && let Some((rows, columns)) = crate::terminal::size()
    {
        host.put("ConsoleSize", json!([rows, columns]));
    }
    Ok(())
}

fn names(flags: &Flags, networks: &[Attachment], host: &mut Fields) {
    host.put("NetworkMode", networks.first().map_or("default", |n| n.target.as_str()));
    host.texts("Dns", flags.list("dns"));
    host.texts("DnsOptions", flags.list("dns-option"));
    host.texts("DnsSearch", flags.list("dns-search"));
    host.values("ExtraHosts", flags.list("add-host").map(|text| label::host(text).into()).collect());
    host.texts("Links", flags.list("link"));
}

/// The body of POST /containers/{id}/update.
///
/// # Errors
/// Docker's text.
pub fn update(flags: &Flags) -> Result<Value, String> {
    let mut host = Fields(Map::new());
    resources(flags, &mut host)?;
    if flags.given("restart") {
        host.put("RestartPolicy", restart::parse(flags.text("restart"))?);
    }
    for (flag, key) in [("publish-add", "PublishAdd"), ("publish-rm", "PublishRemove")] {
        host.object(key, port::parse(flags.list(flag), std::iter::empty())?.bindings);
    }
    Ok(host.0.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::options::{ISOLATION, NETWORK, PROCESS, RESOURCES};
    use crate::grammar::parse::{Parsed, parse};
    use crate::grammar::{Arity, Command};

    static COMMAND: Command = Command::verb("", "", Arity::AtLeast(1), |_| Box::pin(async { Ok(0) }))
        .with(&[PROCESS, RESOURCES, ISOLATION, NETWORK])
        .flags_first();

    fn body(line: &str) -> Result<Value, String> {
        let words = line.split(' ').map(str::to_owned).collect();
        match parse(&COMMAND, words)? {
            Parsed::Line(flags, args) => build(&flags, &args[0], &args[1..]).map(|body| body.json),
            Parsed::Help => Err("help".into()),
        }
    }

    #[test]
    fn plain() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&body("image echo -n x").unwrap()).unwrap());
    }

    #[test]
    fn many_flags() {
        let line = "-it --rm --name n -m 1g --memory-swap -1 --cpus 1.5 --pids-limit 5 -p 8080:80 -v /a:/b -v /c \
                    --mount type=tmpfs,target=/t --cap-add net_admin --cap-drop all --network n1 --ip 1.2.3.4 \
                    --health-cmd true --health-interval 5s --restart no --ulimit core=-1 --device /dev/fuse \
                    --security-opt no-new-privileges --time-offset boottime=1h --log-opt max-size=1m --init -e A=1 \
                    --add-host a:1.2.3.4 --tmpfs /u --entrypoint  image x";
        let mut json = body(line).unwrap();
        // The size of the terminal is the tester's own.
        json["HostConfig"].as_object_mut().unwrap().shift_remove("ConsoleSize");
        insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
    }

    #[test]
    fn refusals() {
        for (line, why) in [
            ("--rm --restart always i", "conflicting options: cannot specify both --restart and --rm"),
            ("--pid foo i", "--pid: invalid PID mode"),
            ("--uts container:x i", "--uts: invalid UTS mode"),
            ("--userns foo i", "--userns: invalid USER mode"),
            ("--cgroupns foo i", "--cgroupns: invalid CGROUP mode"),
            ("--no-healthcheck --health-cmd x i", "--no-healthcheck conflicts with --health-* options"),
            ("--health-timeout -5s i", "--health-timeout cannot be negative"),
            ("--memory-swappiness 200 i", "invalid value: 200. Valid memory swappiness range is 0-100"),
            ("--network a --network a i", "network \"a\" is specified multiple times"),
            ("--network-alias x i", "network-scoped aliases are only supported for user-defined networks"),
            ("--mac-address x i", "x is not a valid mac address"),
            ("--device x i", "x is not an absolute path"),
            (
                "--sysctl kernel.foo=1 i",
                "invalid argument \"kernel.foo=1\" for \"--sysctl\" flag: sysctl 'kernel.foo=1' is not allowed",
            ),
            (
                "--time-offset realtime=1s i",
                "invalid argument \"realtime=1s\" for \"--time-offset\" flag: must be monotonic=DURATION or boottime=DURATION",
            ),
        ] {
            assert_eq!(body(line).unwrap_err(), why, "{line}");
        }
    }
}
