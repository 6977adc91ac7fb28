//! Users, groups, capabilities, no_new_privs, the filter.

use serde_json::json;

use crate::Test;
use crate::sandbox::Sandbox;

pub const TESTS: &[Test] = &[
    ("identity::users_come_from_the_containers_files", users_come_from_the_containers_files),
    ("identity::unknown_users_are_told_as_docker_does", unknown_users_are_told_as_docker_does),
    ("identity::files_belong_to_the_container_on_disk", files_belong_to_the_container_on_disk),
    ("identity::capabilities_are_what_was_asked", capabilities_are_what_was_asked),
    ("identity::no_new_privileges", no_new_privileges),
    ("identity::the_filter_bites", the_filter_bites),
    ("identity::streams_can_be_reopened", streams_can_be_reopened),
];

fn as_user(script: &str, user: &'static str) -> Sandbox {
    Sandbox::new(script).change(|spec| spec["process"]["user"]["username"] = json!(user))
}

fn users_come_from_the_containers_files() {
    assert_eq!(as_user("id", "user").output(), "uid=1000(user) gid=1000(user) groups=29(audio),1000(user)");
    assert_eq!(as_user("id -u; id -g", "1000:29").output(), "1000\n29");
    let mut sandbox = as_user("id -G; umask", "user").change(|spec| spec["process"]["user"]["umask"] = json!(0o27));
    sandbox.bundle.extension.groups = vec![String::from("44"), String::from("audio")];
    assert_eq!(sandbox.output(), "1000 29 44\n0027");
    let numbers = Sandbox::new("id -u; id -g; id -G")
        .change(|spec| spec["process"]["user"] = json!({ "uid": 12, "gid": 13, "additionalGids": [14] }));
    assert_eq!(numbers.output(), "12\n13\n13 14");
}

fn unknown_users_are_told_as_docker_does() {
    let text = |user: &'static str| as_user("true", user).run().expect_err(user).to_string();
    assert_eq!(text("nobody"), "unable to find user nobody: no matching entries in passwd file");
    assert_eq!(text("0:x"), "unable to find group x: no matching entries in group file");
    assert_eq!(text("2147483648"), "uids and gids must be in range 0-2147483647");
}

fn files_belong_to_the_container_on_disk() {
    use std::os::unix::fs::MetadataExt;
    let sandbox = Sandbox::new("touch /made; touch /theirs; chown 1000:29 /theirs; stat -c %u:%g /theirs /home/user");
    assert_eq!(sandbox.output(), "1000:29\n1000:1000");
    let on_disk = |name: &str| std::fs::metadata(sandbox.upper().join(name)).map(|found| (found.uid(), found.gid()));
    assert_eq!(on_disk("made").expect("made"), (0, 0));
    assert_eq!(on_disk("theirs").expect("theirs"), (1000, 29));
}

fn capabilities_are_what_was_asked() {
    let script = "grep Cap /proc/self/status";
    let sets = |output: String| -> Vec<u64> {
        output.lines().map(|line| u64::from_str_radix(&line[8..], 16).expect("mask")).collect()
    };
    let root = sets(Sandbox::new(script).output());
    let wanted = 1 << 0 | 1 << 5 | 1 << 7 | 1 << 6 | 1 << 27 | 1 << 1 | 1 << 3;
    assert_eq!(root, [0, wanted, wanted, wanted, 0]);
    let user = sets(as_user(script, "user").output());
    assert_eq!(user, [0, 0, 0, wanted, 0]);
    let ambient = as_user(script, "user").change(|spec| {
        spec["process"]["capabilities"]["inheritable"] = json!(["CAP_CHOWN"]);
        spec["process"]["capabilities"]["ambient"] = json!(["CAP_CHOWN"]);
    });
    assert_eq!(sets(ambient.output()), [1, 1, 1, wanted, 1]);
}

fn no_new_privileges() {
    let script = "grep NoNewPrivs /proc/self/status";
    assert_eq!(Sandbox::new(script).output(), "NoNewPrivs:\t0");
    let with = Sandbox::new(script).change(|spec| spec["process"]["noNewPrivileges"] = json!(true));
    assert_eq!(with.output(), "NoNewPrivs:\t1");
}

fn the_filter_bites() {
    for no_new_privileges in [false, true] {
        let sandbox = as_user("mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status", "user").change(|spec| {
            spec["process"]["noNewPrivileges"] = json!(no_new_privileges);
            spec["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 }],
            });
        });
        assert_eq!(sandbox.output(), "mkdir: can't create directory '/tmp/x': Operation not supported\nSeccomp:\t2");
    }
}

fn streams_can_be_reopened() {
    assert_eq!(Sandbox::new("echo one > /dev/stdout; echo two > /proc/self/fd/2").output(), "one\ntwo");
    assert_eq!(as_user("echo one > /dev/stderr", "user").output(), "one");
    assert_eq!(as_user("stat -L -c %u /dev/stdout", "user").output(), "1000");
}
