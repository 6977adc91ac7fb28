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
        shown["Annotations"]["io.berth.vm.monitor"].as_str().is_some_and(|name| name.starts_with("qemu-")),
        "{shown}"
    );
    let info = engine.http().get("/info").expect(200).json();
    assert!(info["Runtimes"]["io.berth.vm"]["status"]["io.berth.vm.why"].is_string(), "{}", info["Runtimes"]);
}

#[test]
fn a_running_machine_takes_every_verb_and_keeps_its_changes() {
    let engine = engine!();
    let id = engine.run("live", &["sh", "-c", "echo started >> /log; cat /log; exec sleep 1000"], vm(json!({})));
    eventually("the program runs", 20, || (engine.logs(&id).0 == "started\n").then_some(()));
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
    eventually("the change is still there", 20, kept);
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
    let asked = || {
        engine
            .cli(&["run", "--rm", "busybox", "wget", "-q", "-T", "5", "-O", "-", &format!("http://{address}/")])
            .text()
    };
    eventually("another container reaches it", 30, || asked().contains("found").then_some(()));
    let published = engine.host(&["busybox", "wget", "-q", "-T", "5", "-O", "-", "http://127.0.0.1:18480/"]).text();
    assert!(published.contains("found"), "{published}");
    let gateway = networks["bridge"]["Gateway"].as_str().expect("a gateway").to_owned();
    engine.cli(&["exec", "served", "ping", "-c", "1", "-W", "5", &gateway]).ok();
}

#[test]
fn limits_hold_in_a_machine() {
    let engine = engine!();
    let id = engine.run("", &["sh", "-c", "tail /dev/zero"], vm(json!({"Memory": 32 << 20, "MemorySwap": 32 << 20})));
    assert_eq!(engine.wait(&id), 137);
    assert_eq!(engine.inspect(&id)["State"]["OOMKilled"], true);
    let (code, text) = engine.run_to_end(&["sh", "-c", "touch /x"], vm(json!({"ReadonlyRootfs": true})));
    assert!(code == 1 && text.contains("Read-only"), "{code} {text}");
}

#[test]
fn a_guest_reaches_only_what_is_shared_with_it() {
    let engine = engine!();
    if engine.http().get("/vm/doctor").expect(200).text().contains("no volumes in guests") {
        skip!("virtiofsd is not installed");
    }
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
fn what_a_machine_cannot_have_is_refused_at_creation() {
    let engine = Engine::start();
    for (host, word) in [
        (json!({"Isolation": "vm", "NetworkMode": "host"}), "--network=host"),
        (json!({"Isolation": "vm", "PidMode": "host"}), "--pid=host"),
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
