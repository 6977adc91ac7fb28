//! Programs: exit codes, missing ones, environment, working directory, limits, the init option.

use serde_json::json;

use crate::Test;
use crate::sandbox::Sandbox;

pub const TESTS: &[Test] = &[
    ("process::exit_codes_are_the_programs", exit_codes_are_the_programs),
    ("process::a_missing_program_is_127", a_missing_program_is_127),
    ("process::a_file_that_is_no_program_is_126", a_file_that_is_no_program_is_126),
    ("process::the_environment_has_a_home", the_environment_has_a_home),
    ("process::the_working_directory_is_made", the_working_directory_is_made),
    ("process::no_descriptor_leaks", no_descriptor_leaks),
    ("process::limits_are_set", limits_are_set),
    ("process::an_init_reaps_and_forwards", an_init_reaps_and_forwards),
    ("process::signals_have_their_defaults", signals_have_their_defaults),
    ("process::an_unreleased_container_ends", an_unreleased_container_ends),
];

fn exit_codes_are_the_programs() {
    for code in [0, 1, 42] {
        assert_eq!(Sandbox::new(&format!("exit {code}")).run().expect("run").code, code);
    }
    // Process 1 cannot kill itself, its child can.
    assert_eq!(Sandbox::new("sh -c 'kill -9 $$'; exit $?").run().expect("run").code, 137);
}

fn a_missing_program_is_127() {
    let failure = |arguments: &[&str]| {
        let error = Sandbox::with_arguments(arguments).run().expect_err("missing");
        let failure = error.failure().expect("of init").clone();
        (failure.exit_code(), failure.message)
    };
    assert_eq!(failure(&["nope"]), (127, String::from("exec: \"nope\": executable file not found in $PATH")));
    assert_eq!(failure(&["/nope"]), (127, String::from("exec: \"/nope\": stat /nope: no such file or directory")));
}

fn a_file_that_is_no_program_is_126() {
    let failure = |arguments: &[&str]| {
        let error = Sandbox::with_arguments(arguments).run().expect_err("no program");
        let failure = error.failure().expect("of init").clone();
        (failure.exit_code(), failure.message)
    };
    assert_eq!(failure(&["/etc/passwd"]), (126, String::from("exec: \"/etc/passwd\": permission denied")));
    assert_eq!(failure(&["/etc"]), (126, String::from("exec: \"/etc\": is a directory")));
}

fn the_environment_has_a_home() {
    assert_eq!(Sandbox::new("echo $HOME").output(), "/root");
    let user = |name: &'static str| {
        Sandbox::new("echo $HOME").change(|spec| spec["process"]["user"]["username"] = json!(name)).output()
    };
    assert_eq!((user("user"), user("4711")), (String::from("/home/user"), String::from("/")));
}

fn the_working_directory_is_made() {
    let with = |directory: &'static str| Sandbox::new("pwd").change(|spec| spec["process"]["cwd"] = json!(directory));
    assert_eq!(with("/a/b/c").output(), "/a/b/c");
    let error = with("/etc/passwd").run().expect_err("a file");
    assert!(error.to_string().contains("working directory /etc/passwd"), "{error}");
    let error = with("/proc/self/fd/7").run().expect_err("a descriptor of the engine");
    assert!(error.to_string().contains("working directory"), "{error}");
}

fn no_descriptor_leaks() {
    let file = std::fs::File::open("/dev/null").expect("open");
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).expect("inheritable");
    assert_eq!(Sandbox::new("ls /proc/self/fd | wc -l").output(), "4", "three streams and the directory itself");
}

fn limits_are_set() {
    let sandbox = Sandbox::new("ulimit -n; ulimit -Hn; ulimit -c").change(|spec| {
        spec["process"]["rlimits"] = json!([
            { "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 }, { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
        ]);
    });
    assert_eq!(sandbox.output(), "100\n200\n0");
}

fn an_init_reaps_and_forwards() {
    let with = |script: &str| {
        let mut sandbox = Sandbox::new(script);
        sandbox.bundle.extension.init = true;
        sandbox
    };
    let outcome = with("echo $$; cat /proc/1/comm; exit 3").run().expect("run");
    assert_eq!((outcome.code, outcome.output.as_str()), (3, "2\nberth-init"));
    let (created, mut reader) =
        with("trap 'echo got; exit 9' TERM; echo up; while :; do sleep 0.1; done").start().expect("start");
    let mut word = [0u8; 3];
    std::io::Read::read_exact(&mut reader, &mut word).expect("up");
    berth_sys::pidfd::send_signal(std::os::fd::AsFd::as_fd(&created.container.pidfd), 15).expect("signal");
    assert_eq!(crate::sandbox::finish(&created.container), 9);
    let orphans = with("(setsid sleep 0.2 &) ; sleep 0.6; ls /proc | grep -c '^[0-9]*$'").output();
    assert!(orphans.parse::<u32>().expect("number") <= 5, "{orphans}");
    let error = with("x").change(|spec| spec["process"]["args"] = json!(["nope"])).run().expect_err("missing");
    assert_eq!(error.failure().expect("of init").exit_code(), 127);
}

fn signals_have_their_defaults() {
    let status = Sandbox::with_arguments(&["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"]).output();
    assert!(status.lines().all(|line| line.ends_with("0000000000000000")), "{status}");
}

fn an_unreleased_container_ends() {
    let sandbox = Sandbox::new("true");
    let null = std::fs::File::open("/dev/null").expect("open");
    let fd = std::os::fd::AsFd::as_fd(&null);
    let created =
        berth_runtime::create(&sandbox.bundle, berth_runtime::Stdio::Streams { stdin: fd, stdout: fd, stderr: fd });
    let created = created.expect("create");
    let pidfd = rustix::io::dup(&created.container.pidfd).expect("dup");
    drop(created);
    assert_eq!(crate::sandbox::wait(&pidfd), 1);
}
