//! What a process of a container is given.

use serde_json::json;

use berth_blackbox::Bundle;

#[test]
fn exec_runs_as_asked() {
    let bundle = Bundle::new("sleep 60");
    assert!(bundle.create(&[]).0);
    let id = bundle.id();
    bundle.call(&["start", &id]).ok();
    let exec = |arguments: &[&str]| {
        let all: Vec<&str> = ["exec"].iter().chain(arguments).copied().collect();
        bundle.call(&all)
    };
    assert_eq!(exec(&["-e", "WORD=x", "--cwd", "/tmp", &id, "sh", "-c", "echo $WORD $PWD"]).ok(), "x /tmp");
    assert_eq!(exec(&["-u", "1000:29", "-g", "44", &id, "id", "-G"]).ok(), "29 44");
    exec(&[&id, "sh", "-c", "exit 5"]).code(5);
    exec(&[&id, "nosuch"]).fails("executable file not found");
    let process = json!({"args": ["pwd"], "cwd": "/etc", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
    std::fs::write(bundle.path("process"), process.to_string()).expect("a file");
    assert_eq!(exec(&["--process", &bundle.path("process").display().to_string(), &id]).ok(), "/etc");
    let pid_file = bundle.path("exec-pid").display().to_string();
    exec(&["--detach", "--pid-file", &pid_file, &id, "sleep", "3"]).ok();
    let pid = std::fs::read_to_string(&pid_file).expect("the pid file");
    assert!(std::path::Path::new(&format!("/proc/{}", pid.trim())).exists());
    bundle.call(&["kill", &id, "KILL"]).ok();
    bundle.await_status("stopped");
    exec(&[&id, "true"]).fails("stopped container");
}

#[test]
fn scheduling_is_set() {
    let mut bundle = Bundle::new("cat /proc/self/sched | grep policy; cut -d' ' -f19 /proc/self/stat");
    bundle.spec["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5});
    bundle.spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0});
    let output = bundle.run().ok();
    assert!(output.ends_with("\n5") || output == "5", "{output}");
}

#[test]
fn personality_shows_another_machine() {
    let mut bundle = Bundle::new("uname -m");
    bundle.spec["linux"]["personality"] = json!({"domain": "LINUX32"});
    assert_eq!(bundle.run().ok(), "i686");
}

#[test]
fn a_label_that_the_kernel_cannot_give_is_refused() {
    if std::path::Path::new("/sys/module/apparmor").exists() {
        berth_blackbox::skip!("this kernel has AppArmor");
    }
    let mut bundle = Bundle::new("true");
    bundle.spec["process"]["apparmorProfile"] = json!("nosuch");
    let output = bundle.run();
    assert_ne!(output.code, 0);
    assert!(output.stderr.to_lowercase().contains("apparmor"), "{}", output.stderr);
}

#[test]
fn cache_allocation_is_refused_and_not_ignored() {
    let mut bundle = Bundle::new("true");
    bundle.spec["linux"]["intelRdt"] = json!({"l3CacheSchema": "L3:0=f"});
    bundle.run().fails("intelRdt");
}

#[test]
fn owners_are_those_of_the_directory_unless_a_map_is_asked_for() {
    let mut bundle = Bundle::new("stat -c %u /plain /mapped");
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle.spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "user"}));
    bundle.spec["linux"]["uidMappings"] = map.clone();
    bundle.spec["linux"]["gidMappings"] = map.clone();
    own_as(&bundle.path("rootfs"), 100_000);
    let source = bundle.path("shared");
    std::fs::create_dir(&source).expect("a folder");
    let mount = |target: &str| json!({"destination": target, "type": "bind", "source": source, "options": ["bind"]});
    let mut mapped = mount("/mapped");
    mapped["uidMappings"] = map.clone();
    mapped["gidMappings"] = map;
    let mounts = bundle.spec["mounts"].as_array_mut().expect("a list");
    mounts.push(mount("/plain"));
    mounts.push(mapped);
    let output = bundle.run().ok();
    assert_eq!(output, "65534\n0");
}

/// As an engine with remapped users prepares its layers.
fn own_as(root: &std::path::Path, uid: u32) {
    let status = std::process::Command::new("chown").args(["-hR", &format!("{uid}:{uid}")]).arg(root).status();
    assert!(status.expect("chown").success());
}

#[test]
fn network_devices_move_in_with_their_addresses() {
    let mut bundle = Bundle::new("ip addr show eth7; ls /sys/class/net");
    let name = format!("bt{}", std::process::id() % 1_000_000);
    let ip = |arguments: &[&str]| std::process::Command::new("ip").args(arguments).status().is_ok_and(|s| s.success());
    if !ip(&["link", "add", &name, "type", "veth", "peer", "name", &format!("{name}p")]) {
        berth_blackbox::skip!("ip cannot make a veth pair");
    }
    assert!(ip(&["addr", "add", "192.0.2.7/28", "dev", &name]));
    bundle.spec["linux"]["netDevices"] = json!({&name: {"name": "eth7"}});
    let output = bundle.run();
    ip(&["link", "del", &format!("{name}p")]);
    let text = output.ok();
    assert!(text.contains("192.0.2.7/28") && text.contains("UP"), "{text}");
}

#[test]
fn descriptors_are_kept_when_asked_for() {
    let bundle = Bundle::new("ls /proc/self/fd | wc -l");
    bundle.store();
    assert_eq!(bundle.run().ok(), "4", "three streams and the directory that ls reads");
}

#[test]
fn an_agent_decides_about_system_calls() {
    use std::os::unix::net::UnixListener;
    let mut bundle = Bundle::new("mkdir /tmp/x; echo $?");
    let path = bundle.path("agent.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let heard = std::thread::spawn(move || {
        use std::io::Read;
        let (mut stream, _) = listener.accept().expect("accept");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("read");
        text
    });
    bundle.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "for the agent",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    });
    // Nobody takes the descriptor out of the message, so it is closed, and the call fails with ENOSYS.
    assert_eq!(bundle.run().code(0), "1");
    let text = heard.join().expect("the agent");
    let said: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!((&said["fds"], &said["metadata"]), (&json!(["seccompFd"]), &json!("for the agent")));
    assert_eq!(said["state"]["id"], json!(bundle.id()));
}
