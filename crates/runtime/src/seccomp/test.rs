//! Compiled filters, run by an interpreter of classic BPF, against a reading of the rules that is as plain as can be;
//! and the default profile, also in the kernel.

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator};
use proptest::prelude::*;
use serde_json::json;

use super::arch::X32_BIT;
use super::rule::{returned, value};
use super::*;
use crate::capability::Set;

/// `struct seccomp_data`, without the instruction pointer.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    token: u32,
    arguments: [u64; 6],
}

/// Runs a filter as the kernel would, and counts the instructions.
fn run(program: &[sock_filter], call: &Call) -> (u32, usize) {
    let word = |offset: u32| match offset {
        0 => call.number,
        4 => call.token,
        _ => {
            let argument = call.arguments[(offset as usize - 16) / 8];
            let upper = (offset % 8 == 4) == cfg!(target_endian = "little");
            if upper { (argument >> 32) as u32 } else { argument as u32 }
        }
    };
    let (mut at, mut accumulator, mut steps) = (0, 0, 0);
    loop {
        let i = program[at];
        (at, steps) = (at + 1, steps + 1);
        let jump = |holds: bool| usize::from(if holds { i.jt } else { i.jf });
        match i.code {
            0x20 => accumulator = word(i.k),
            0x54 => accumulator &= i.k,
            0x05 => at += i.k as usize,
            0x15 => at += jump(accumulator == i.k),
            0x25 => at += jump(accumulator > i.k),
            0x35 => at += jump(accumulator >= i.k),
            0x06 => return (i.k, steps),
            code => panic!("unknown instruction {code:#x}"),
        }
    }
}

/// The rules, read straight from the specification.
fn naive(seccomp: &LinuxSeccomp, abis: &[Abi], call: &Call) -> u32 {
    let default = value(seccomp.default_action(), seccomp.default_errno_ret());
    let is_x32 = call.number & X32_BIT != 0 && call.token == Abi::X86_64.token();
    let abi = abis.iter().find(|abi| abi.token() == call.token && (**abi == Abi::X32) == is_x32);
    let permissive =
        matches!(seccomp.default_action(), LinuxSeccompAction::ScmpActAllow | LinuxSeccompAction::ScmpActLog);
    let newer = if permissive { default } else { returned::ERRNO | 38 };
    let Some(abi) = abi else {
        // A call that a tracer skipped, where there is a section for it at all.
        let skipped = call.number == u32::MAX && call.token == Abi::X86_64.token() && abis.contains(&Abi::X86_64);
        return if skipped { newer } else { returned::KILL_THREAD };
    };
    let rules: Vec<_> = seccomp.syscalls().iter().flatten().collect();
    let number = |name: &String| table::find(name).and_then(|call| call.number(*abi));
    let private = *abi == Abi::Arm && call.number >= arch::ARM_PRIVATE;
    let known = rules.iter().flat_map(|rule| rule.names()).filter_map(number);
    let last = known.filter(|n| *abi != Abi::Arm || (*n >= arch::ARM_PRIVATE) == private).max();
    let matching = rules.iter().filter(|rule| rule.names().iter().any(|name| number(name) == Some(call.number)));
    let mut otherwise = None;
    for rule in matching {
        let returned = value(rule.action(), rule.errno_ret());
        let args = rule.args().clone().unwrap_or_default();
        if returned == default {
            continue;
        }
        if args.is_empty() {
            otherwise = otherwise.or(Some(returned));
            continue;
        }
        let twice = args.iter().enumerate().any(|(at, a)| args[..at].iter().any(|b| a.index() == b.index()));
        let mut hold = args.iter().map(|argument| holds(argument, call, abi.is_wide()));
        if if twice { hold.any(|h| h) } else { hold.all(|h| h) } {
            return returned;
        }
    }
    match (otherwise, last) {
        (Some(returned), _) => returned,
        (None, Some(last)) if call.number > last => newer,
        _ => default,
    }
}

fn holds(argument: &LinuxSeccompArg, call: &Call, wide: bool) -> bool {
    let cut = |value: u64| if wide { value } else { value & 0xffff_ffff };
    let (given, wanted) = (cut(call.arguments[argument.index()]), cut(argument.value()));
    match argument.op() {
        LinuxSeccompOperator::ScmpCmpEq => given == wanted,
        LinuxSeccompOperator::ScmpCmpNe => given != wanted,
        LinuxSeccompOperator::ScmpCmpLt => given < wanted,
        LinuxSeccompOperator::ScmpCmpLe => given <= wanted,
        LinuxSeccompOperator::ScmpCmpGe => given >= wanted,
        LinuxSeccompOperator::ScmpCmpGt => given > wanted,
        LinuxSeccompOperator::ScmpCmpMaskedEq => given & wanted == cut(argument.value_two().unwrap_or(0)),
    }
}

/// Names that are close together, far apart, private, or unknown.
const NAMES: [&str; 14] = [
    "read",
    "write",
    "open",
    "close",
    "stat",
    "socket",
    "clone",
    "clone3",
    "io_uring_setup",
    "set_tls",
    "execve",
    "arch_prctl",
    "mseal",
    "no_such_call",
];
/// Numbers between and beyond those of calls.
const ODD: [u32; 9] = [0, 335, 500, 0xe_ffff, 0xf_0000, 0x3fff_ffff, X32_BIT, X32_BIT | 900, u32::MAX];
/// Values around the borders of halves and signs.
const VALUES: [u64; 10] = [0, 1, 2, 40, 0xffff_ffff, 1 << 32, (1 << 32) + 1, (1 << 32) + 40, 1 << 63, u64::MAX];

fn argument() -> impl Strategy<Value = serde_json::Value> {
    let operator = prop::sample::select(vec!["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]);
    (0..6_usize, prop::sample::select(&VALUES[..]), prop::sample::select(&VALUES[..]), operator).prop_map(
        |(index, value, two, op)| {
            let op = format!("SCMP_CMP_{op}");
            json!({"index": index, "value": value, "valueTwo": two, "op": op})
        },
    )
}

fn action() -> impl Strategy<Value = String> {
    let all = vec!["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "TRAP", "TRACE", "LOG", "NOTIFY"];
    prop::sample::select(all).prop_map(|name| format!("SCMP_ACT_{name}"))
}

fn filter() -> impl Strategy<Value = LinuxSeccomp> {
    let names = prop::collection::vec(prop::sample::select(&NAMES[..]), 1..6);
    let rule = (names, action(), prop::option::of(0..200_u32), prop::collection::vec(argument(), 0..4)).prop_map(
        |(names, action, errno, args)| match errno {
            Some(errno) => json!({"names": names, "action": action, "errnoRet": errno, "args": args}),
            None => json!({"names": names, "action": action, "args": args}),
        },
    );
    (action(), prop::collection::vec(rule, 0..8)).prop_map(|(action, rules)| {
        serde_json::from_value(json!({"defaultAction": action, "syscalls": rules})).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_compiled_filter_decides_as_its_rules_say(
        filter in filter(),
        others in prop::sample::subsequence(vec![Arch::ScmpArchX86, Arch::ScmpArchX32, Arch::ScmpArchArm], 0..=3),
        native in prop::sample::select(vec![Abi::X86_64, Abi::Aarch64, Abi::Arm]),
        calls in prop::collection::vec(
            (prop::sample::select(&NAMES[..]), -1..2_i64, prop::array::uniform6(prop::sample::select(&VALUES[..]))),
            40,
        ),
        odd in prop::sample::select(&ODD[..]),
    ) {
        let mut filter = filter;
        filter.set_architectures(Some(others.clone()));
        let program = compile_for(&filter, native).unwrap();
        let mut abis = vec![native];
        abis.extend(others.into_iter().filter_map(Abi::from_oci).filter(|abi| *abi != native));
        for abi in [Abi::X86_64, Abi::X86, Abi::X32, Abi::Aarch64, Abi::Arm] {
            for (name, step, arguments) in &calls {
                let number = table::find(name).and_then(|call| call.number(abi));
                let number = number.map_or(odd, |number| number.saturating_add_signed(*step as i32));
                let call = Call { number, token: abi.token(), arguments: *arguments };
                prop_assert_eq!(run(&program.instructions, &call).0, naive(&filter, &abis, &call), "{:?}", call);
            }
        }
    }

    #[test]
    fn bytes_come_back(filter in filter()) {
        let program = compile(&filter).unwrap();
        let again = Program::from_bytes(&program.to_bytes()).unwrap();
        prop_assert_eq!(again.to_bytes(), program.to_bytes());
    }
}

fn resolved(capabilities: Set) -> LinuxSeccomp {
    profile::resolve(Profile::builtin(), capabilities, "amd64", (6, 18)).unwrap()
}

/// What the default profile returns for a call on x86_64.
fn default_verdict(capabilities: Set, name: &str, arguments: [u64; 6]) -> u32 {
    let program = compile_for(&resolved(capabilities), Abi::X86_64).unwrap();
    let number = table::find(name).and_then(|call| call.number(Abi::X86_64)).unwrap();
    run(&program.instructions, &Call { number, token: Abi::X86_64.token(), arguments }).0
}

#[test]
fn the_default_profile_lets_ordinary_calls_pass() {
    let container = Set::container();
    let program = compile_for(&resolved(container), Abi::X86_64).unwrap();
    println!("default profile: {} instructions", program.instructions.len());
    assert!(program.instructions.len() < 1500 && !program.notifies);
    for name in ["read", "openat", "execve", "futex", "clock_gettime", "statx", "ptrace", "chroot", "arch_prctl"] {
        let call = Call {
            number: table::find(name).unwrap().number(Abi::X86_64).unwrap(),
            token: 0xc000_003e,
            arguments: [0; 6],
        };
        let (verdict, steps) = run(&program.instructions, &call);
        assert_eq!(verdict, returned::ALLOW, "{name}");
        assert!(steps < 16, "{name} takes {steps} instructions");
    }
    // 32-bit and x32 programs too, an architecture of another machine never.
    for (number, token, verdict) in [
        (3, 0x4000_0003, returned::ALLOW),
        (X32_BIT, 0xc000_003e, returned::ALLOW),
        (0, 0xc000_00b7, returned::KILL_THREAD),
        (u32::MAX, 0xc000_003e, returned::ERRNO | 38),
        (600, 0xc000_003e, returned::ERRNO | 38),
    ] {
        assert_eq!(run(&program.instructions, &Call { number, token, arguments: [0; 6] }).0, verdict, "{number}");
    }
}

#[test]
fn the_default_profile_refuses_what_docker_refuses() {
    let (container, eperm) = (Set::container(), returned::ERRNO | 1);
    for name in [
        "io_uring_setup",
        "io_uring_enter",
        "add_key",
        "keyctl",
        "request_key",
        "mount",
        "unshare",
        "setns",
        "bpf",
        "perf_event_open",
        "reboot",
        "kexec_load",
        "init_module",
        "open_by_handle_at",
        "userfaultfd",
        "swapon",
        "settimeofday",
        "pivot_root",
        "mbind",
        "acct",
        "quotactl",
        "syslog",
        "iopl",
        "kcmp",
    ] {
        assert_eq!(default_verdict(container, name, [0; 6]), eperm, "{name}");
    }
    let socket = |family: u64| default_verdict(container, "socket", [family, 0, 0, 0, 0, 0]);
    for (family, verdict) in [
        (1, returned::ALLOW),
        (2, returned::ALLOW),
        (38, eperm), // AF_ALG
        (40, eperm), // AF_VSOCK
        (44, returned::ALLOW),
        ((1 << 32) + 38, eperm), // AF_ALG again: the kernel looks at 32 bits
    ] {
        assert_eq!(socket(family), verdict, "{family}");
    }
    let clone = |flags: u64| default_verdict(container, "clone", [flags, 0, 0, 0, 0, 0]);
    assert_eq!((clone(0x11), clone(0x1000_0000)), (returned::ALLOW, eperm));
    assert_eq!(default_verdict(container, "clone3", [0; 6]), returned::ERRNO | 38);
    assert_eq!(default_verdict(container, "personality", [0x20000, 0, 0, 0, 0, 0]), returned::ALLOW);
    assert_eq!(default_verdict(container, "personality", [0x40000, 0, 0, 0, 0, 0]), eperm);
}

#[test]
fn capabilities_open_what_they_are_for() {
    let admin = Set::container().with(21);
    for name in ["mount", "unshare", "clone3", "bpf"] {
        assert_eq!(default_verdict(admin, name, [u64::MAX; 6]), returned::ALLOW, "{name}");
    }
    assert_eq!(default_verdict(Set::container().with(22), "reboot", [0; 6]), returned::ALLOW);
    assert_eq!(default_verdict(Set::EMPTY, "chroot", [0; 6]), returned::ERRNO | 1);
}

#[test]
fn profiles_are_read_as_docker_does() {
    let resolve = |text: &str| {
        Profile::parse(text).map(|p| profile::resolve(&p, Set::EMPTY, "arm64", (4, 7))).map_err(|e| e.to_string())
    };
    assert!(resolve("{}").unwrap().is_none());
    assert!(resolve("{").unwrap_err().starts_with("EOF while parsing"));
    let twice =
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_KILL"}]}"#;
    assert!(resolve(twice).unwrap_err().starts_with("both 'name' and 'names'"));
    let maps = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_ARM"],
        "archMap":[{"architecture":"SCMP_ARCH_AARCH64","subArchitectures":null}]}"#;
    assert!(resolve(maps).unwrap_err().starts_with("both 'architectures' and 'archMap'"));
    let old = r#"{"defaultAction":"SCMP_ACT_ERRNO","archMap":[
          {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],
        "syscalls":[{"name":"chmod","action":"SCMP_ACT_ALLOW","args":null,"includes":{},"excludes":{}},
          {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
          {"names":["a"],"action":"SCMP_ACT_ALLOW","excludes":{"arches":["arm64"]}},
          {"names":["b"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64"]}}]}"#;
    let seccomp = resolve(old).unwrap().unwrap();
    let names: Vec<&str> = seccomp.syscalls().iter().flatten().map(|call| call.names()[0].as_str()).collect();
    assert_eq!(names, ["chmod", "b"]);
    assert_eq!(seccomp.architectures().as_ref().unwrap(), &[Arch::ScmpArchAarch64, Arch::ScmpArchArm]);
    assert!(resolve(&old.replace("4.8", "four")).unwrap_err().starts_with("failed to parse kernel version"));
}

#[test]
fn what_the_kernel_would_refuse_is_refused_with_reasons() {
    let rule = |index: usize, count: u64| -> LinuxSeccomp {
        let rules: Vec<_> = (0..count)
            .map(|value| {
                json!({"names": ["read"], "action": "SCMP_ACT_ALLOW",
                                "args": [{"index": index, "value": value, "op": "SCMP_CMP_EQ"}]})
            })
            .collect();
        serde_json::from_value(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})).unwrap()
    };
    assert!(matches!(compile(&rule(6, 1)), Err(Error::ArgumentIndex { index: 6, .. })));
    // Beyond the reach of a conditional jump, then beyond the kernel's limit.
    let many = compile_for(&rule(0, 500), Abi::X86_64).unwrap();
    let call = |number, argument| Call { number, token: Abi::X86_64.token(), arguments: [argument, 0, 0, 0, 0, 0] };
    assert_eq!(run(&many.instructions, &call(0, 499)).0, returned::ALLOW);
    assert_eq!(run(&many.instructions, &call(0, 500)).0, returned::ERRNO | 1);
    assert_eq!(run(&many.instructions, &call(1, 0)).0, returned::ERRNO | 38);
    assert!(matches!(compile(&rule(0, 1000)), Err(Error::TooLong { .. })));
}

#[test]
fn the_kernel_takes_the_default_profile() {
    // A filter binds the thread that installs it.
    let outcome = std::thread::spawn(|| {
        rustix::thread::set_no_new_privs(true).unwrap();
        let seccomp = Profile::builtin().resolve(&crate::capability::resolve(&[], &[], false).unwrap());
        let program = compile(&seccomp.unwrap()).unwrap();
        berth_sys::seccomp::install(&program.instructions, program.flags)?;
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::from_raw(38), rustix::net::SocketType::SEQPACKET, None);
        let ordinary = std::fs::metadata("/").is_ok();
        Ok::<_, berth_sys::Errno>((socket.err(), ordinary))
    });
    match outcome.join().unwrap() {
        Ok((socket, ordinary)) => assert_eq!((socket, ordinary), (Some(berth_sys::Errno::PERM), true)),
        Err(berth_sys::Errno::NOSYS) => eprintln!("skipped: this kernel has no seccomp"),
        Err(errno) => panic!("{errno}"),
    }
}

/// Not a check but a measurement: `cargo test -p berth-runtime --release seccomp::test::cost -- --ignored --nocapture`.
#[test]
#[ignore = "prints times"]
fn cost() {
    let time = |name: &str, act: &dyn Fn()| {
        let begin = std::time::Instant::now();
        act();
        println!("{name}: {:?}", begin.elapsed());
    };
    time("parse", &|| {
        Profile::builtin();
    });
    let seccomp = resolved(Set::container());
    let written = serde_json::to_string(&seccomp).unwrap();
    for _ in 0..3 {
        time("resolve", &|| drop(resolved(Set::container())));
        time("read from config.json", &|| drop(serde_json::from_str::<LinuxSeccomp>(&written).unwrap()));
        time("compile", &|| drop(compile(&seccomp).unwrap()));
    }
}
