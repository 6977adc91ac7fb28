//! An engine of an ordinary user: `berth daemon` without root, its network, its ports, what it says it cannot.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use berth_blackbox::command::{self, Output};
use berth_blackbox::{busybox, engine, eventually, skip};
use tempfile::TempDir;

/// The user, who exists in the test's mount namespace only, and the range of ids that it is given.
const USER: u32 = 4711;
/// The suite's own program, see src/bin/probe.rs.
const PROBE: &str = env!("CARGO_BIN_EXE_probe");
const RANGE: &str = "rootless-tester:7000000:65536\n";

/// A host of its own for a user: mount and network namespace, an account, a way to another host.
struct Host {
    place: TempDir,
    holder: Child,
    daemon: Option<Child>,
}

/// Makes what a distribution gives every user: the account, ranges of ids, `/dev/net/tun` for all, a default route.
const PREPARE: &str = r#"
set -e
ip link set lo up
ip link add h0 type veth peer name w0
ip addr add 10.91.0.1/24 dev h0; ip link set h0 up; ip link set w0 up
ip route add default via 10.91.0.2
cp /etc/passwd "$1/passwd"
echo "rootless-tester:x:4711:4711::$1/home:/bin/sh" >>"$1/passwd"
mount --bind "$1/passwd" /etc/passwd
touch /etc/subuid /etc/subgid
mount --bind "$1/ranges" /etc/subuid
mount --bind "$1/ranges" /etc/subgid
mknod -m 666 "$1/tun" c 10 200
mount --bind "$1/tun" /dev/net/tun
touch "$1/berth"
mount --bind "$2" "$1/berth"
echo ready
exec cat >/dev/null
"#;

/// Why it cannot be tried here.
fn hindrance(uplink: &str) -> Option<String> {
    let programs = [("newuidmap", "uidmap"), ("setpriv", "util-linux"), (uplink, "passt and slirp4netns")];
    let missing = programs.into_iter().find(|(program, _)| !command::is_installed(program))?;
    Some(format!("{} is missing (Debian package {})", missing.0, missing.1))
}

impl Host {
    fn new() -> Host {
        let place = tempfile::Builder::new().prefix("berth-rootless-").tempdir_in("/tmp").expect("a place");
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("a place for all");
        fs::write(place.path().join("ranges"), RANGE).expect("ranges");
        for name in ["home", "run"] {
            let dir = place.path().join(name);
            fs::create_dir(&dir).expect("a directory");
            chown(&dir, Some(USER), Some(USER)).expect("the user's directory");
        }
        let mut holder = Command::new("unshare")
            .args(["--mount", "--net", "--propagation", "private", "--", "sh", "-c", PREPARE, "sh"])
            .arg(place.path())
            .arg(engine::binary())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut line = String::new();
        let answers = holder.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(answers), &mut line).expect("the host speaks");
        assert_eq!(line, "ready\n", "the host is not as it should be");
        Host { place, holder, daemon: None }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// A program in this host, as root.
    fn root(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--mount", "--net", "--"]).args(arguments);
        command
    }

    /// A program in this host, as the user.
    fn user(&self, program: &str, arguments: &[&str]) -> Command {
        let user = USER.to_string();
        let mut command = self.root(&["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
        command.arg("env").arg("-i").arg("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg(format!("HOME={}", self.at("home").display()));
        command.arg(format!("XDG_RUNTIME_DIR={}", self.at("run").display()));
        command.arg(program).args(arguments);
        command
    }

    /// The client, which would start a daemon of its own if nobody told it where one is to be.
    fn berth(&self, arguments: &[&str]) -> Output {
        let socket = format!("BERTH_HOST=unix://{}", self.at("run/berth/berth.sock").display());
        let program = self.at("berth").display().to_string();
        command::run(self.user("env", &[&[socket.as_str(), &program], arguments].concat()), b"")
    }

    /// The client, left alone.
    fn berth_alone(&self, arguments: &[&str]) -> Output {
        command::run(self.user(&self.at("berth").display().to_string(), arguments), b"")
    }

    /// Starts the daemon, which finds programs in `path` alone.
    fn start(&mut self, path: &str) {
        let log = File::options().create(true).append(true).open(self.at("log")).expect("a log");
        let program = self.at("berth").display().to_string();
        let mut command = self.user("env", &[&format!("PATH={path}"), &program, "daemon"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let mut daemon = command.spawn().expect("the daemon starts");
        eventually("the daemon answers", 60, || {
            if let Some(status) = daemon.try_wait().expect("its state") {
                panic!("the daemon ended ({status}): {}", self.log());
            }
            (self.berth(&["version"]).code == 0).then_some(())
        });
        self.daemon = Some(daemon);
    }

    fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }

    fn import_busybox(&self) {
        let tar = self.at("busybox.tar");
        let probe = fs::read(PROBE).expect("the probe");
        let rootfs = busybox::rootfs_with(|archive| busybox::file(archive, "bin/probe", &probe, 0o755));
        fs::write(&tar, rootfs.expect("busybox-static")).expect("an archive");
        self.berth(&["import", "--change", "ENV PATH=/bin", &tar.display().to_string(), "busybox"]).ok();
    }

    fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("a daemon");
        daemon.kill().expect("SIGKILL");
        daemon.wait().expect("its end");
    }

    fn stop(&mut self) {
        let mut daemon = self.daemon.take().expect("a daemon");
        engine::signal(daemon.id(), "TERM");
        eventually("the daemon ends", 30, || daemon.try_wait().expect("its state"));
    }

    /// What runs in this place, by command line.
    fn processes(&self) -> Vec<String> {
        let place = self.place.path().display().to_string();
        let read = |path: &Path| fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " ");
        let all = fs::read_dir("/proc").expect("procfs").flatten().map(|entry| read(&entry.path()));
        all.filter(|line| line.contains(&place) && !line.starts_with("unshare") && !line.starts_with("sh ")).collect()
    }

    /// What a client in this host hears from an address.
    fn ask(&self, address: &str) -> String {
        command::run(self.root(&[PROBE, "http", address]), b"").text()
    }

    /// A web server of the host's, at an address.
    fn serve(&self, address: &str) -> Server {
        fs::write(self.at("index.html"), "from the host").expect("a page");
        let place = self.place.path().display().to_string();
        let mut command = self.root(&["busybox", "httpd", "-f", "-p", address, "-h", &place]);
        Server(command.spawn().expect("busybox"))
    }
}

/// Ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the daemon said:\n{}", self.log());
        }
        if let Some(mut daemon) = self.daemon.take() {
            let list = self.berth(&["ps", "--all", "--quiet"]);
            for id in list.text().split_whitespace() {
                self.berth(&["rm", "--force", id]);
            }
            engine::signal(daemon.id(), "TERM");
            for _ in 0..100 {
                if daemon.try_wait().is_ok_and(|status| status.is_some()) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            daemon.kill().ok();
            daemon.wait().ok();
        }
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

#[test]
fn a_user_without_root_has_an_engine() {
    if let Some(why) = hindrance("pasta") {
        skip!("{why}");
    }
    let mut host = Host::new();
    host.start(PATH);
    host.import_busybox();
    assert!(host.berth_alone(&["version"]).ok().contains("Server"));
    // Root inside is nobody's root outside, and not the daemon's either: its namespace is below that.
    assert_eq!(host.berth(&["run", "--rm", "busybox", "id", "-u"]).ok(), "0");
    let map = host.berth(&["run", "--rm", "busybox", "awk", "{ n += $3 } END { print n }", "/proc/self/uid_map"]);
    assert_eq!(map.ok(), "65536");
    let denied = host.berth(&["run", "--rm", "--cap-add", "ALL", "busybox", "mknod", "/null", "c", "1", "3"]);
    denied.fails("not permitted");
    // Files: owners as the image and the container have them; one deleted and made anew hides what was below.
    let text = host.berth(&[
        "run",
        "--name",
        "files",
        "busybox",
        "sh",
        "-c",
        "rm -r /home && mkdir /home && touch /home/new && chown 1000:1000 /home/new && rm /etc/not-executable",
    ]);
    text.ok();
    let changes = host.berth(&["diff", "files"]).ok();
    assert!(changes.contains("A /home/new") && changes.contains("D /etc/not-executable"), "{changes}");
    host.berth(&["commit", "files", "changed"]).ok();
    assert_eq!(host.berth(&["run", "--rm", "changed", "stat", "-c", "%u:%g", "/home/new"]).ok(), "1000:1000");
    assert_eq!(
        host.berth(&["run", "--rm", "-v", "kept:/v", "busybox", "sh", "-c", "echo a >/v/a; cat /v/a"]).ok(),
        "a"
    );
    assert!(host.at("home/.local/share/berth/berth.db").exists());
    // A daemon that dies leaves containers to the next one.
    host.berth(&["run", "-d", "--name", "stays", "busybox", "sleep", "4711"]).ok();
    host.kill();
    host.start(PATH);
    assert_eq!(host.berth(&["exec", "stays", "cat", "/proc/1/comm"]).ok(), "sleep");
    let list = host.berth(&["top", "stays"]).ok();
    assert!(list.contains("sleep 4711"), "{list}");
    let joined =
        host.berth(&["run", "--rm", "--network", "container:stays", "--pid", "container:stays", "busybox", "ps"]);
    assert!(joined.ok().contains("sleep 4711"));
    // What it cannot, it says.
    let info = host.berth(&["info"]);
    let said = format!("{}{}", info.ok(), info.stderr);
    for part in ["rootless", "Cgroup Driver: none", "through pasta", "without cgroups", "ports below"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    host.berth(&["pause", "stays"]).fails("no control groups are delegated");
    let limited = host.berth(&["run", "--rm", "--memory", "64m", "busybox", "true"]);
    limited.ok();
    assert!(limited.stderr.contains("Limitation discarded"), "{}", limited.stderr);
    host.berth(&["rm", "-f", "stays"]).ok();
    host.stop();
    eventually("nothing of it runs", 10, || host.processes().is_empty().then_some(()));
}

fn network_by(uplink: &str) {
    let mut host = Host::new();
    let tools = host.at("tools");
    fs::create_dir(&tools).expect("a directory");
    for program in ["newuidmap", "newgidmap", uplink] {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(program), tools.join(program)).expect("a link");
    }
    host.start(&tools.display().to_string());
    host.import_busybox();
    let near = host.serve("10.91.0.1:9000");
    let local = host.serve("127.0.0.1:9001");
    let fetch = |address: &str| host.berth(&["run", "--rm", "busybox", "probe", "http", address]).text();
    eventually("the host's server answers", 20, || fetch("10.91.0.1:9000").contains("from the host").then_some(()));
    assert!(!fetch("10.0.2.2:9001").contains("from the host"), "the host's loopback is nobody's business");
    drop((near, local));
    let serve = "echo from the container >/tmp/index.html; exec httpd -f -p 80 -h /tmp";
    host.berth(&["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", serve]).ok();
    for address in ["127.0.0.1", "10.91.0.1"] {
        let answers = || host.ask(&format!("{address}:8080")).contains("from the container").then_some(());
        eventually("the container answers", 20, answers);
    }
    host.berth(&["run", "--rm", "-p", "8080:80", "busybox", "true"]).fails("already allocated");
    let other = host.serve("0.0.0.0:8081");
    eventually("the host's server is there", 10, || (!host.ask("127.0.0.1:8081").is_empty()).then_some(()));
    host.berth(&["run", "--rm", "-p", "8081:80", "busybox", "true"]).fails("address already in use");
    drop(other);
    host.berth(&["run", "--rm", "-p", "81:80", "busybox", "true"]).fails("permission denied");
    // Ports go on without the daemon, and are the next one's.
    host.kill();
    assert!(host.ask("127.0.0.1:8080").contains("from the container"));
    host.start(&tools.display().to_string());
    assert!(host.berth(&["info"]).stderr.contains(uplink));
    host.berth(&["rm", "-f", "web"]).ok();
    assert_eq!(host.ask("127.0.0.1:8080"), "");
    host.stop();
    eventually("nothing of it runs", 10, || host.processes().is_empty().then_some(()));
}

#[test]
fn its_network_goes_through_pasta() {
    if let Some(why) = hindrance("pasta") {
        skip!("{why}");
    }
    network_by("pasta");
}

#[test]
fn its_network_goes_through_slirp4netns_where_there_is_no_pasta() {
    if let Some(why) = hindrance("slirp4netns") {
        skip!("{why}");
    }
    network_by("slirp4netns");
}

#[test]
fn what_a_user_lacks_is_said() {
    if let Some(why) = hindrance("pasta") {
        skip!("{why}");
    }
    let host = Host::new();
    fs::write(host.at("ranges"), "").expect("no ranges");
    host.berth(&["daemon"]).fails("usermod --add-subuids");
    fs::write(host.at("ranges"), RANGE).expect("ranges");
    host.berth(&["daemon", "-H", "tcp://127.0.0.1:1"]).fails("unix:// socket");
    host.berth(&["daemon", "-s", "erofs"]).fails("needs root");
    let mut command = host.root(&[&host.at("berth").display().to_string(), "daemon", "--rootless"]);
    command.env_remove("XDG_RUNTIME_DIR");
    command::run(command, b"").fails("started by root");
    let mut command = host.user("env", &["-u", "XDG_RUNTIME_DIR", &host.at("berth").display().to_string(), "daemon"]);
    command.stdin(Stdio::null());
    command::run(command, b"").fails("XDG_RUNTIME_DIR");
}

/// `berth runtime` called by the user: made, entered, signalled and deleted by calls of their own.
#[test]
fn a_user_calls_the_runtime() {
    if let Some(why) = hindrance("pasta") {
        skip!("{why}");
    }
    let host = Host::new();
    let bundle = host.at("home/bundle");
    let archive = busybox::rootfs().expect("busybox-static");
    tar::Archive::new(archive.as_slice()).unpack(bundle.join("rootfs")).expect("a root file system");
    let own = Command::new("chown").args(["-R", "4711:4711"]).arg(&bundle).status().expect("chown");
    assert!(own.success());
    let path = bundle.display().to_string();
    let call = |arguments: &[&str]| host.berth(&[&["runtime"], arguments].concat());
    call(&["spec", "--rootless", "--bundle", &path]).ok();
    let file = bundle.join("config.json");
    let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = serde_json::json!(["/bin/sh", "-c", "id -u; cat /proc/self/uid_map"]);
    spec["process"]["env"] = serde_json::json!(["PATH=/bin"]);
    let keep = |spec: &serde_json::Value| fs::write(&file, spec.to_string()).expect("a file");
    keep(&spec);
    let said = call(&["run", "--bundle", &path, "once"]).ok();
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "0", "1"], "one id, the user's own");
    // The whole of the user's range, told as the host has it.
    let range = serde_json::json!([{"containerID": 0, "hostID": USER, "size": 1},
        {"containerID": 1, "hostID": 7_000_000, "size": 65536}]);
    spec["linux"]["uidMappings"] = range.clone();
    spec["linux"]["gidMappings"] = range;
    spec["process"]["args"] = serde_json::json!(["/bin/sleep", "4711"]);
    spec["process"]["user"] = serde_json::json!({"uid": 1000, "gid": 1000});
    keep(&spec);
    let place = host.at("home");
    let null = |arguments: &[&str]| {
        let script =
            format!("exec {} runtime \"$@\" </dev/null >{}/out 2>&1", host.at("berth").display(), place.display());
        command::run(host.user("sh", &[&["-c", script.as_str(), "sh"], arguments].concat()), b"")
    };
    let made = null(&["create", "--bundle", &path, "stays"]);
    assert_eq!(made.code, 0, "{}", fs::read_to_string(place.join("out")).unwrap_or_default());
    call(&["start", "stays"]).ok();
    assert!(call(&["state", "stays"]).ok().contains("running"));
    assert_eq!(call(&["exec", "stays", "/bin/id", "-u"]).ok(), "1000");
    call(&["kill", "stays", "KILL"]).ok();
    eventually("its end", 10, || call(&["state", "stays"]).ok().contains("stopped").then_some(()));
    call(&["delete", "stays"]).ok();
    assert!(host.at("run/berth/runtime").read_dir().expect("the user's place").next().is_none());
    spec["linux"]["uidMappings"] = serde_json::json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    keep(&spec);
    call(&["run", "--bundle", &path, "other"]).fails("not this user's");
}
