//! Rights that a container was not given: capabilities, control groups, ids, sockets.

use berth_blackbox::busybox;
use serde_json::{Value, json};

use crate::arena::{Arena, Verdict, attack, breached_if, rootfs};
use crate::{held, machine_code};

const NO_CAPABILITIES: &str = "0000000000000000";

#[test]
fn cve_2022_29162_inheritable_capabilities_on_exec() {
    attack(&["inheritable"], |arena| {
        let line = ["sh", "-c", "grep CapInh /proc/self/status"];
        let judge =
            |way: &str, text: &str| breached_if(!text.contains(NO_CAPABILITIES), format!("{way}: {}", text.trim()));
        let engine = arena.engine();
        held!(judge("run", &engine.run_to_end(&line, json!({})).1));
        held!(judge("run as a user", &engine.run_to_end(&line, json!({"User": "alice"})).1));
        let added = json!({"HostConfig": {"CapAdd": ["NET_ADMIN"]}});
        held!(judge("run with another capability", &engine.run_to_end(&line, added).1));
        let id = engine.run("", &["sleep", "60"], json!({}));
        for flags in [&[][..], &["-u", "alice"], &["--privileged"]] {
            let words: Vec<&str> = ["exec"].iter().chain(flags).chain(&[id.as_str()]).chain(&line).copied().collect();
            held!(judge("exec", &engine.cli(&words).ok()));
        }
        let bundle = arena.bundle("sleep 60");
        assert!(bundle.create(&[]).0);
        bundle.call(&["start", &bundle.id()]).ok();
        let id = bundle.id();
        let words: Vec<&str> = ["exec", "--cap", "CAP_NET_RAW", &id].into_iter().chain(line).collect();
        judge("berth runtime exec --cap", &bundle.call(&words).ok())
    });
}

/// Tries to make a group in every hierarchy that is shown, and takes it away again.
const MAKE_GROUPS: &str = "for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do
    mkdir $d/attack 2>/dev/null && { echo made $d/attack; rmdir $d/attack; }; done; echo tried";

#[test]
fn cve_2023_25809_writable_cgroup() {
    attack(&["cgroup-read-only"], |arena| {
        let engine = arena.engine();
        let judge = |way: &str, text: &str| {
            assert!(text.contains("tried"), "{way}: {text}");
            breached_if(text.contains("made"), format!("{way}: {}", text.trim()))
        };
        for host in [json!({}), json!({"UsernsMode": "host"}), json!({"UsernsMode": "host", "CgroupnsMode": "host"})] {
            let (_, text) = engine.run_to_end(&["sh", "-c", MAKE_GROUPS], json!({"HostConfig": host}));
            held!(judge(&host.to_string(), &text));
        }
        // As without rights over the network: /sys is the host's, with the host's control groups below.
        let mut bundle = arena.bundle(MAKE_GROUPS);
        let all = json!([{"containerID": 0, "hostID": 0, "size": 65_536}]);
        bundle.spec["linux"]["uidMappings"] = all.clone();
        bundle.spec["linux"]["gidMappings"] = all;
        let namespaces = bundle.spec["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|namespace| namespace["type"] != "network" && namespace["type"] != "cgroup");
        namespaces.push(json!({"type": "user"}));
        let mounts = bundle.spec["mounts"].as_array_mut().expect("a list");
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        judge("the host's /sys", &bundle.run().ok())
    });
}

/// Runs `id -u` in an image whose accounts are called like numbers; what it said, or nothing when it was refused.
fn id_of(engine: &berth_blackbox::Engine, user: &str) -> String {
    let id = engine.create("", &["id", "-u"], json!({"Image": "attacker", "User": user}));
    let started = engine.http().post(&format!("/containers/{id}/start")).status == 204;
    let text = if started { engine.wait(&id).to_string() + " " + &engine.logs(&id).0 } else { String::new() };
    engine.http().delete(&format!("/containers/{id}?force=1")).expect(204);
    text
}

fn with_numbered_accounts(arena: &Arena) -> berth_blackbox::Engine {
    let mut engine = arena.engine();
    let accounts = "root:x:0:0::/root:/bin/sh\n1000:x:0:0::/root:/bin/sh\n2147483648:x:0:0::/root:/bin/sh\n\
        4294967296:x:0:0::/root:/bin/sh\n99999999999999999999:x:0:0::/root:/bin/sh\n";
    let image = rootfs(|archive| busybox::file(archive, "etc/passwd", accounts.as_bytes(), 0o644));
    engine.import("attacker:latest", &image, &["ENV PATH=/bin"]);
    engine.forget_traces();
    engine
}

#[test]
fn cve_2024_40635_user_id_overflow() {
    attack(&["user-numbers"], |arena| {
        let engine = with_numbered_accounts(arena);
        // Names are out of the game: an image without any.
        let image = rootfs(|archive| busybox::file(archive, "etc/passwd", b"", 0o644));
        engine.import("attacker:latest", &image, &["ENV PATH=/bin"]);
        for user in ["4294967296", "2147483648", "8589934592", "-4294967296", "4294967295:0", "18446744073709551616"] {
            let text = id_of(&engine, user);
            held!(breached_if(!text.is_empty(), format!("user {user} became {text}")));
        }
        Verdict::Held
    });
}

#[test]
fn cve_2026_46680_numeric_names_of_users() {
    attack(&["user-numbers"], |arena| {
        let engine = with_numbered_accounts(arena);
        let text = id_of(&engine, "1000");
        held!(breached_if(!text.ends_with(" 1000\n"), format!("user 1000 became {text}")));
        for user in ["2147483648", "4294967296", "99999999999999999999"] {
            let text = id_of(&engine, user);
            held!(breached_if(!text.is_empty(), format!("user {user} became {text}")));
        }
        // And the same for a program that is started later.
        let id = engine.run("", &["sleep", "60"], json!({"Image": "attacker"}));
        let text = engine.cli(&["exec", "-u", "1000", &id, "id", "-u"]).ok();
        breached_if(text != "1000", format!("exec: user 1000 became {text}"))
    });
}

/// `EPERM` or `ENOSYS`: the filter's answers. Any other is the kernel's own.
fn is_filtered(code: i64) -> bool {
    code == 1 || code == 38
}

#[test]
fn cve_2026_31431_alg_sockets() {
    attack(&["alg-sockets"], |arena| {
        let engine = arena.engine();
        let said = engine.run_to_end(&["probe", "socket", "38", "5"], json!({})).1;
        breached_if(!["1", "38"].contains(&said.trim()), format!("64 bit: {}", said.trim()))
    });
    if !machine_code::runs_32() {
        berth_blackbox::skip!("this kernel runs no 32-bit programs");
    }
    for (name, program) in [("socket", machine_code::socket_32()), ("socketcall", machine_code::socketcall_32())] {
        attack(&["alg-sockets"], |arena| {
            let mut engine = arena.engine();
            let image = rootfs(|archive| busybox::file(archive, "bin/call", &program, 0o755));
            engine.import("attacker:latest", &image, &["ENV PATH=/bin"]);
            engine.forget_traces();
            let (code, _) = engine.run_to_end(&["/bin/call"], json!({"Image": "attacker"}));
            breached_if(!is_filtered(code), format!("32 bit, {name}: the kernel answered {code}"))
        });
    }
}

/// Calls that stay closed: (name, number for 64 bit, number for 32 bit). All arguments are zero, so the kernel's own
/// answers would be EFAULT or EINVAL.
// tidy: table
const CLOSED: &[(&str, u32, u32)] = &[
    ("io_uring_setup", 425, 425),
    ("io_uring_enter", 426, 426),
    ("io_uring_register", 427, 427),
    ("add_key", 248, 286),
    ("request_key", 249, 287),
    ("keyctl", 250, 288),
];

/// Other doors to the kernel that Docker's profile keeps closed.
#[test]
fn vsock_io_uring_and_keyrings_are_closed() {
    let mut engine = berth_blackbox::Engine::start();
    let image = rootfs(|archive| {
        for (name, wide, narrow) in CLOSED {
            busybox::file(archive, &format!("bin/{name}-64"), &machine_code::call_64(*wide), 0o755);
            busybox::file(archive, &format!("bin/{name}-32"), &machine_code::call_32(*narrow), 0o755);
        }
    });
    engine.import("attacker:latest", &image, &["ENV PATH=/bin"]);
    engine.forget_traces();
    let run = |words: &[&str]| engine.run_to_end(words, json!({"Image": "attacker"}));
    assert_eq!(run(&["probe", "socket", "40", "1"]).1.trim(), "1", "AF_VSOCK");
    assert_eq!(run(&["probe", "socket", "2", "1"]).1.trim(), "made", "AF_INET stays open");
    let sizes = if machine_code::runs_32() { &["64", "32"][..] } else { &["64"] };
    let script = "for call in \"$@\"; do $call; echo $call $?; done";
    let calls: Vec<String> =
        sizes.iter().flat_map(|size| CLOSED.iter().map(move |(name, ..)| format!("{name}-{size}"))).collect();
    let words: Vec<&str> = ["sh", "-c", script, "sh"].into_iter().chain(calls.iter().map(String::as_str)).collect();
    let expected: String = calls.iter().map(|call| format!("{call} 1\n")).collect();
    assert_eq!(run(&words).1, expected, "EPERM is the filter's answer");
}

#[test]
fn cve_2020_15257_abstract_sockets() {
    attack(&["named-sockets"], |arena| {
        let engine = arena.engine();
        engine.run("", &["sleep", "60"], json!({}));
        let host: Value = json!({"HostConfig": {"NetworkMode": "host"}});
        let (code, text) = engine.run_to_end(&["probe", "abstract"], host);
        assert_eq!(code, 0, "{text}");
        breached_if(!text.trim().is_empty(), format!("a container of the host's network reaches {}", text.trim()))
    });
}

/// What the filter costs: the same calls beside an unfiltered container, A B A B, the least of each.
#[test]
fn the_filter_costs_less_than_a_call() {
    let arena = crate::arena::Arena::plain();
    let engine = arena.engine();
    let cost = |options: Value| {
        let (_, text) = engine.run_to_end(&["probe", "calls", "200000"], json!({"HostConfig": options}));
        text.trim().parse::<u64>().unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    let mut least = (u64::MAX, u64::MAX);
    for _ in 0..3 {
        least.0 = least.0.min(cost(json!({})));
        least.1 = least.1.min(cost(json!({"SecurityOpt": ["seccomp=unconfined"]})));
    }
    println!("getpid: {} ns with the filter, {} ns without", least.0, least.1);
    assert!(least.0 < least.1 + 500, "{} ns with the filter, {} ns without", least.0, least.1);
}
