//! What a process finds: environment, working directory, user, host name, file system, limits, terminal.

use berth_blackbox::Engine;
use serde_json::json;

#[test]
fn environment_has_the_images_the_callers_and_dockers_own() {
    let engine = Engine::start();
    let (_, env) = engine.run_to_end(&["env"], json!({"Env": ["A=1", "EMPTY=", "PATH=/bin:/sbin"], "Hostname": "box"}));
    for line in ["A=1", "EMPTY=", "PATH=/bin:/sbin", "HOSTNAME=box", "HOME=/root"] {
        assert!(env.lines().any(|found| found == line), "{line} in\n{env}");
    }
    assert!(!env.contains("TERM="), "TERM is for terminals");
    let (_, env) = engine.run_to_end(&["env"], json!({"Tty": false, "User": "alice"}));
    assert!(env.contains("HOME=/home"), "HOME is the user's: {env}");
}

#[test]
fn working_directory_is_made_when_missing() {
    let engine = Engine::start();
    assert_eq!(engine.run_to_end(&["pwd"], json!({"WorkingDir": "/etc"})).1, "/etc\n");
    assert_eq!(engine.run_to_end(&["pwd"], json!({"WorkingDir": "/made/for/it"})).1, "/made/for/it\n");
}

#[test]
fn users_and_groups_come_from_the_images_files() {
    let engine = Engine::start();
    let id = |user: &str| engine.run_to_end(&["id"], json!({"User": user})).1;
    assert_eq!(id(""), "uid=0(root) gid=0(root) groups=0(root)\n");
    let alice = id("alice");
    assert!(alice.starts_with("uid=1000(alice) gid=1000(alice)"), "{alice}");
    assert!(alice.contains("29(audio)") && alice.contains("44(video)"), "supplementary groups: {alice}");
    assert!(id("1000:44").starts_with("uid=1000(alice) gid=44(video)"));
    assert!(id("4711").starts_with("uid=4711 gid=0(root)"), "a number needs no entry");
    let added = engine.run_to_end(&["id"], json!({"User": "alice", "HostConfig": {"GroupAdd": ["audio", "777"]}})).1;
    assert!(added.contains("777"), "{added}");
}

#[test]
fn an_unknown_user_is_an_error_that_names_it() {
    let engine = Engine::start();
    let id = engine.create("", &["id"], json!({"User": "nobody-here"}));
    let answer = engine.http().post(&format!("/containers/{id}/start"));
    assert!((400..=500).contains(&answer.status), "{}", answer.status);
    assert!(answer.message().contains("nobody-here"), "{}", answer.text());
}

#[test]
fn hostname_and_hosts_files_are_the_containers() {
    let engine = Engine::start();
    let settings =
        json!({"Hostname": "box", "Domainname": "example.org", "HostConfig": {"ExtraHosts": ["db:10.0.0.7"]}});
    let (_, text) = engine.run_to_end(&["sh", "-c", "hostname; cat /etc/hostname /etc/hosts"], settings);
    assert!(text.starts_with("box"), "{text}");
    assert!(text.contains("127.0.0.1\tlocalhost"), "{text}");
    assert!(text.contains("10.0.0.7\tdb"), "{text}");
    assert!(text.contains("box.example.org box"), "{text}");
    let (_, default) = engine.run_to_end(&["sh", "-c", "hostname"], json!({}));
    assert_eq!(default.trim().len(), 12, "the short id by default: {default}");
}

#[test]
fn resolv_conf_takes_dns_settings() {
    let engine = Engine::start();
    let settings =
        json!({"HostConfig": {"Dns": ["10.9.8.7"], "DnsSearch": ["example.org"], "DnsOptions": ["ndots:3"]}});
    let (_, text) = engine.run_to_end(&["cat", "/etc/resolv.conf"], settings);
    for part in ["nameserver 10.9.8.7", "search example.org", "ndots:3"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn read_only_leaves_tmpfs_writable() {
    let engine = Engine::start();
    let settings = json!({"HostConfig": {"ReadonlyRootfs": true, "Tmpfs": {"/scratch": "size=1m,mode=1777"}}});
    let script = "touch /x 2>/dev/null || echo refused; touch /scratch/x && echo written; df -k /scratch | tail -1";
    let (_, text) = engine.run_to_end(&["sh", "-c", script], settings);
    assert!(text.starts_with("refused\nwritten\n"), "{text}");
    assert!(text.contains(" 1024 "), "the size of the tmpfs: {text}");
}

#[test]
fn shared_memory_has_the_wanted_size() {
    let engine = Engine::start();
    let df = ["sh", "-c", "df -k /dev/shm | tail -1"];
    assert!(engine.run_to_end(&df, json!({})).1.contains(" 65536 "), "64 MiB by default");
    assert!(engine.run_to_end(&df, json!({"HostConfig": {"ShmSize": 8_388_608}})).1.contains(" 8192 "));
}

#[test]
fn ulimits_and_sysctls_arrive() {
    let engine = Engine::start();
    let settings = json!({"HostConfig": {
        "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
        "Sysctls": {"net.ipv4.ip_unprivileged_port_start": "99", "kernel.msgmax": "4096"},
    }});
    let script = "ulimit -Sn; ulimit -Hn; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax";
    assert_eq!(engine.run_to_end(&["sh", "-c", script], settings).1, "100\n200\n99\n4096\n");
}

#[test]
fn init_reaps_and_passes_signals_on() {
    let engine = Engine::start();
    let script =
        "(sleep 0.1 &) ; sleep 0.5; ps | grep -c '\\[sleep\\]'; cat /proc/1/comm; tr '\\0' ' ' </proc/1/cmdline";
    let (_, text) = engine.run_to_end(&["sh", "-c", script], json!({"HostConfig": {"Init": true}}));
    assert!(text.starts_with('0'), "no zombie is left: {text}");
    assert!(!text.contains("sh\n"), "PID 1 is the init: {text}");
    assert!(text.contains("-init -- sh -c "), "and says what it runs: {text}");
    let id = engine.run("", &["sleep", "60"], json!({"HostConfig": {"Init": true}}));
    engine.http().post(&format!("/containers/{id}/kill?signal=TERM")).expect(204);
    assert_eq!(engine.wait(&id), 143);
}

#[test]
fn entrypoint_and_command_join() {
    let engine = Engine::start();
    let settings = json!({"Entrypoint": ["echo", "from"]});
    assert_eq!(engine.run_to_end(&["command"], settings).1, "from command\n");
    assert_eq!(engine.cli(&["run", "--rm", "--entrypoint", "pwd", "busybox"]).ok(), "/");
}

#[test]
fn a_terminal_is_one_and_merges_the_streams() {
    let engine = Engine::start();
    let id = engine.run("", &["sh", "-c", "tty; echo $TERM; echo err >&2"], json!({"Tty": true}));
    engine.wait(&id);
    let answer = engine.http().get(&format!("/containers/{id}/logs?stdout=1&stderr=1")).expect(200);
    assert_eq!(answer.text(), "/dev/pts/0\r\nxterm\r\nerr\r\n", "raw, no frames");
}

#[test]
fn devices_are_the_default_ones_and_those_asked_for() {
    let engine = Engine::start();
    let (_, text) =
        engine.run_to_end(&["sh", "-c", "ls /dev; echo x > /dev/null && head -c 4 /dev/zero | wc -c"], json!({}));
    for name in ["console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "tty", "urandom"]
    {
        // Without a terminal there is no console.
        assert!(name == "console" || text.lines().any(|line| line == name), "{name} in\n{text}");
    }
    assert!(text.ends_with("4\n"), "{text}");
    let device = json!([{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rwm"}]);
    let settings = json!({"HostConfig": {"Devices": device}});
    let (code, text) = engine.run_to_end(&["sh", "-c", "test -c /dev/nothing && echo x > /dev/nothing"], settings);
    assert_eq!(code, 0, "{text}");
}
