//! Containers in virtual machines: the same image, network, volumes and verbs behind a hardware wall.
//!
//! They boot machines without hardware help where there is none, which takes long and depends on the machine's load, so
//! that they have a target of their own: `make test-vm`, which sets `BERTH_TEST_VM`.

use berth_blackbox::{Engine, eventually, skip};
use serde_json::{Value, json};

macro_rules! engine {
    () => {{
        if std::env::var_os("BERTH_TEST_VM").is_none() {
            skip!("machines are tried by make test-vm");
        }
        match Engine::start_for_machines() {
            Ok(engine) => engine,
            Err(why) => skip!("{why}"),
        }
    }};
}

fn vm(host: Value) -> Value {
    let mut host = host;
    host["Isolation"] = json!("vm");
    json!({"HostConfig": host})
}

/// A shell's line that asks a web server for its page: busybox's wget, linked statically, ends badly where it finds no
/// libraries for the names of services.
fn get(address: &str) -> String {
    format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {address} 80")
}

#[test]
fn a_machine_runs_what_a_container_runs() {
    let engine = engine!();
    let mut settings = vm(json!({}));
    settings["Env"] = json!(["WORD=held"]);
    settings["User"] = json!("1000:1000");
    settings["WorkingDir"] = json!("/tmp");
    settings["Hostname"] = json!("guest");
    let script = "id -u; echo $WORD; pwd; hostname; uname -r; echo wrong >&2; exit 42";
    let id = engine.run("inside", &["sh", "-c", script], settings);
    assert_eq!(engine.wait(&id), 42);
    let (out, err) = engine.logs(&id);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((&lines[..4], err.as_str()), (&["1000", "held", "/tmp", "guest"][..], "wrong\n"), "{out}");
    let own = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("own kernel");
    assert!(lines[4].contains("cloud") && lines[4] != own.trim(), "{} is no other kernel than {own}", lines[4]);
    let shown = engine.inspect(&id)["HostConfig"].clone();
    assert_eq!(shown["Runtime"], "io.berth.vm", "{shown}");
    assert!(
        shown["Annotations"]["io.berth.vm.monitor"]
            .as_str()
            .is_some_and(|name| name.starts_with("qemu-") || name == "berth-kvm"),
        "{shown}"
    );
    let info = engine.http().get("/info").expect(200).json();
    assert!(info["Runtimes"]["io.berth.vm"]["status"]["io.berth.vm.why"].is_string(), "{}", info["Runtimes"]);
}

#[test]
fn a_running_machine_takes_every_verb_and_keeps_its_changes() {
    let engine = engine!();
    let id = engine.run("live", &["sh", "-c", "echo started >> /log; cat /log; exec sleep 1000"], vm(json!({})));
    eventually("the program runs", 60, || (engine.logs(&id).0 == "started\n").then_some(()));
    let exec = engine.cli(&["exec", "-e", "A=b", "live", "sh", "-c", "echo $A; exit 3"]);
    assert_eq!(
        (exec.code(3), engine.cli_with(&["exec", "-i", "live", "cat"], b"typed").ok()),
        ("b".into(), "typed".into())
    );
    assert_eq!(engine.cli(&["exec", "-t", "live", "tty"]).ok(), "/dev/pts/0");
    engine.cli(&["exec", "live", "nosuch"]).code(127);
    engine.cli(&["pause", "live"]).ok();
    assert_eq!(engine.inspect(&id)["State"]["Status"], "paused");
    engine.cli(&["unpause", "live"]).ok();
    assert_eq!(engine.cli(&["exec", "live", "cat", "/log"]).ok(), "started");
    engine.cli(&["kill", "live"]).ok();
    assert_eq!(engine.wait(&id), 137);
    engine.cli(&["start", "live"]).ok();
    let kept = || engine.logs(&id).0.ends_with("started\nstarted\n").then_some(());
    eventually("the change is still there", 60, kept);
    engine.cli(&["stop", "-t", "1", "live"]).ok();
    assert_eq!(engine.inspect(&id)["State"]["ExitCode"], 137);
}

#[test]
fn a_machine_is_on_the_network_like_any_container() {
    let engine = engine!();
    let settings = json!({
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"Isolation": "vm", "PortBindings": {"80/tcp": [{"HostPort": "18480"}]}},
    });
    let id = engine.run("served", &["sh", "-c", "echo found > /index.html; exec httpd -f -p 80 -h /"], settings);
    let networks = engine.inspect(&id)["NetworkSettings"]["Networks"].clone();
    let address = networks["bridge"]["IPAddress"].as_str().expect("an address").to_owned();
    let ask = get(&address);
    // A container of the usual kind, whichever the suite's others are.
    let asked = || engine.cli(&["run", "--rm", "--runtime", "berth", "busybox", "sh", "-c", &ask]).text();
    eventually("another container reaches it", 60, || asked().contains("found").then_some(()));
    let published = engine.host(&[env!("CARGO_BIN_EXE_probe"), "http", "127.0.0.1:18480"]).text();
    assert!(published.contains("found"), "{published}");
    let gateway = networks["bridge"]["Gateway"].as_str().expect("a gateway").to_owned();
    engine.cli(&["exec", "served", "ping", "-c", "1", "-W", "5", &gateway]).ok();
}

#[test]
fn a_machine_knows_the_names_of_its_networks() {
    let engine = engine!();
    engine.cli(&["network", "create", "front"]).ok();
    let serve = "echo found > /index.html; exec httpd -f -p 80 -h /";
    engine
        .cli(&["run", "-d", "--runtime", "berth", "--network", "front", "--name", "peer", "busybox", "sh", "-c", serve])
        .ok();
    let peer = engine.inspect("peer")["NetworkSettings"]["Networks"]["front"]["IPAddress"]
        .as_str()
        .expect("an address")
        .to_owned();
    let ask = format!("nslookup peer && {}", get(&peer));
    let (code, text) = engine.run_to_end(&["sh", "-c", &ask], vm(json!({"NetworkMode": "front"})));
    assert!(text.contains(&peer), "{text}");
    assert!(code == 0 && text.contains("found"), "{code} {text}");
    engine.cli(&["rm", "-f", "peer"]).ok();
    engine.cli(&["network", "rm", "front"]).ok();
}

#[test]
fn limits_hold_in_a_machine() {
    let engine = engine!();
    let id = engine.run("", &["sh", "-c", "tail /dev/zero"], vm(json!({"Memory": 32 << 20, "MemorySwap": 32 << 20})));
    assert_eq!(engine.wait(&id), 137);
    assert_eq!(engine.inspect(&id)["State"]["OOMKilled"], true);
    let (code, text) = engine.run_to_end(&["sh", "-c", "touch /x"], vm(json!({"ReadonlyRootfs": true})));
    assert!(code == 1 && text.contains("Read-only"), "{code} {text}");
    let script = "df -k / | tail -n 1; dd if=/dev/zero of=/big bs=1M count=80";
    let (code, text) = engine.run_to_end(&["sh", "-c", script], vm(json!({"StorageOpt": {"size": "64m"}})));
    assert!(code == 1 && text.contains("No space left"), "{code} {text}");
    let size: u64 = text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a size");
    assert!((30 << 10..64 << 10).contains(&size), "{text}");
}

#[test]
fn a_template_in_the_making_ends_with_the_daemon() {
    let mut engine = engine!();
    let (_, text) = engine.run_to_end(&["echo", "ran"], vm(json!({})));
    assert_eq!(text, "ran\n");
    // The first machine of a shape has begun one; the suite looks for what is left of it.
    engine.stop_daemon();
    let left = |name: &str| std::fs::read_dir(engine.place().join(name)).map_or(0, |entries| entries.count());
    assert_eq!(left("run/templates"), 0);
    let templates = engine.place().join("data/vm/templates");
    let drafts = std::fs::read_dir(templates).into_iter().flatten().filter_map(Result::ok);
    assert_eq!(drafts.filter(|entry| entry.file_name().to_string_lossy().starts_with("draft-")).count(), 0);
    engine.start_daemon();
}

#[test]
fn a_guest_reaches_only_what_is_shared_with_it() {
    let engine = engine!();
    let (shared, secret) = (engine.place().join("shared"), engine.place().join("secret"));
    std::fs::create_dir(&shared).expect("mkdir");
    std::fs::write(&secret, "of the host").expect("write");
    std::fs::write(shared.join("given"), "for the guest").expect("write");
    std::os::unix::fs::symlink(&secret, shared.join("absolute")).expect("symlink");
    std::os::unix::fs::symlink("../secret", shared.join("upwards")).expect("symlink");
    let script = "cat /data/given; echo; echo back > /data/made; for path in /data/absolute /data/upwards /data/../secret; do
            cat $path && echo reached $path; done; mknod /data/disk b 8 0; head -c 1 /data/disk && echo reached the disk; true";
    let settings = vm(json!({"Binds": [format!("{}:/data", shared.display())]}));
    let (code, text) = engine.run_to_end(&["sh", "-c", script], settings);
    assert!(code == 0 && text.contains("for the guest"), "{code} {text}");
    assert!(!text.contains("of the host") && !text.contains("reached"), "{text}");
    assert_eq!(std::fs::read_to_string(shared.join("made")).expect("the guest's file"), "back\n");
}

#[test]
fn volumes_and_binds_are_the_same_files_inside() {
    let engine = engine!();
    let (shared, fixed) = (engine.place().join("shared"), engine.place().join("fixed"));
    for directory in [&shared, &fixed] {
        std::fs::create_dir(directory).expect("mkdir");
        std::fs::write(directory.join("given"), "given\n").expect("write");
    }
    let script = "cat /data/given; touch /fixed/no 2>&1; echo kept > /volume/file; mkdir /data/made; \
        echo by > /data/made/one; chown 7:8 /data/made/one; chmod 640 /data/made/one; ln -s one /data/made/link; \
        mv /data/made/one /data/made/two; ls -ln /data/made/two | cut -c1-10";
    let binds =
        [format!("{}:/data", shared.display()), format!("{}:/fixed:ro", fixed.display()), "held:/volume".into()];
    let (code, text) = engine.run_to_end(&["sh", "-c", script], vm(json!({"Binds": binds})));
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("given\n") && text.contains("Read-only") && text.contains("-rw-r-----"), "{text}");
    let made = std::fs::metadata(shared.join("made/two")).expect("the guest's file");
    let ids = (std::os::unix::fs::MetadataExt::uid(&made), std::os::unix::fs::MetadataExt::gid(&made));
    assert_eq!(ids, (7, 8), "ownership is as with any container");
    assert_eq!(engine.cli(&["run", "--rm", "-v", "held:/v", "busybox", "cat", "/v/file"]).ok(), "kept");
}

#[test]
fn files_go_in_and_come_out_whether_it_runs_or_not() {
    let engine = engine!();
    let id = engine.run("held", &["sh", "-c", "echo made > /made; exec sleep 1000"], vm(json!({})));
    eventually("the file is there", 60, || {
        (engine.cli(&["exec", "held", "test", "-e", "/made"]).code == 0).then_some(())
    });
    let place = engine.place().join("in");
    std::fs::write(&place, "from the host").expect("write");
    engine.cli(&["cp", &place.display().to_string(), "held:/in"]).ok();
    assert_eq!(engine.cli(&["exec", "held", "cat", "/in"]).ok(), "from the host");
    engine.cli(&["cp", "held:/nowhere", "."]).fails("nowhere");
    let changed = engine.cli(&["diff", "held"]).ok();
    assert!(changed.contains("A /made") && changed.contains("A /in") && !changed.contains("/proc"), "{changed}");
    assert!(engine.cli(&["top", "held"]).ok().contains("sleep 1000"));
    let usage = engine.http().get(&format!("/containers/{id}/stats?stream=false")).expect(200).json();
    assert!(usage["memory_stats"]["usage"].as_u64().is_some_and(|bytes| bytes > 0), "{usage}");
    assert_eq!(usage["pids_stats"]["current"], 1, "the guest's processes, not the monitor's threads");
    engine.cli(&["update", "--memory", "64m", "held"]).ok();
    assert_eq!(engine.cli(&["exec", "held", "cat", "/sys/fs/cgroup/memory.max"]).ok(), (64 << 20).to_string());
    engine.cli(&["update", "--memory", "64g", "--memory-swap", "64g", "held"]).fails("has room for");
    engine.cli(&["kill", "held"]).ok();
    assert_eq!(engine.wait(&id), 137);
    // Now by a machine of the tool's own.
    let out = engine.place().join("out");
    engine.cli(&["cp", "held:/made", &out.display().to_string()]).ok();
    assert_eq!(std::fs::read_to_string(&out).expect("the file"), "made\n");
    engine.cli(&["commit", "held", "committed"]).ok();
    assert_eq!(engine.cli(&["run", "--rm", "committed", "cat", "/in"]).ok(), "from the host");
}

#[test]
fn what_a_machine_cannot_have_is_refused_at_creation() {
    let engine = Engine::start();
    for (host, word) in [
        (json!({"Isolation": "vm", "NetworkMode": "host"}), "--network=host"),
        (json!({"Isolation": "vm", "PidMode": "host"}), "--pid=host"),
        (json!({"Isolation": "vm", "StorageOpt": {"size": "1m"}}), "--storage-opt size"),
    ] {
        let body = json!({"Image": "busybox", "Cmd": ["true"], "HostConfig": host});
        let answer = engine.http().post_json("/containers/create", &body).expect(400).text();
        assert!(answer.contains(word), "{answer}");
    }
    let body = json!({"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Isolation": "vm"}});
    let id = engine.http().post_json("/containers/create", &body).expect(201).json()["Id"].clone();
    let path = format!("/containers/{}/start", id.as_str().expect("an id"));
    let refusal = engine.http().post(&path).expect(409).text();
    assert!(refusal.contains("berth vm kernel"), "{refusal}");
}

#[test]
fn the_doctor_looks_at_everything() {
    let engine = Engine::start_empty(&[]);
    let findings = engine.http().get("/vm/doctor").expect(200).json();
    let names: Vec<&str> = findings.as_array().expect("a list").iter().filter_map(|one| one["What"].as_str()).collect();
    for what in ["processor", "/dev/kvm", "timed probe", "nested virtualization", "IOMMU", "vhost", "guests' kernel"] {
        assert!(names.contains(&what), "{what} is not in {names:?}");
    }
    let mut doctor = std::process::Command::new(berth_blackbox::engine::binary());
    doctor.arg("-H").arg(format!("unix://{}", engine.socket().display())).args(["vm", "doctor"]);
    let said = berth_blackbox::command::run(doctor, b"");
    assert!(said.text().contains("berth vm kernel"), "{}", said.text());
}
