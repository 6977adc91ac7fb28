//! Mounts: devices, masks, read-only parts, binds, and images that try to lead them astray.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use serde_json::json;

use crate::Test;
use crate::sandbox::Sandbox;

pub const TESTS: &[Test] = &[
    ("mount::nothing_of_the_host_is_left", nothing_of_the_host_is_left),
    ("mount::devices_work", devices_work),
    ("mount::masked_and_read_only_paths", masked_and_read_only_paths),
    ("mount::a_read_only_root", a_read_only_root),
    ("mount::binds_show_the_containers_ids", binds_show_the_containers_ids),
    ("mount::read_only_binds", read_only_binds),
    ("mount::a_missing_source_is_named", a_missing_source_is_named),
    ("mount::hostile_links_stay_inside", hostile_links_stay_inside),
    ("mount::proc_through_a_link_is_refused", proc_through_a_link_is_refused),
    ("mount::a_start_writes_nothing", a_start_writes_nothing),
    ("mount::many_binds", many_binds),
];

fn nothing_of_the_host_is_left() {
    let table = Sandbox::new("cat /proc/self/mountinfo").output();
    let points: Vec<&str> = table.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    assert_eq!(points.iter().filter(|point| **point == "/").count(), 1, "{table}");
    let known = |point: &&str| *point == "/" || ["/proc", "/dev", "/sys"].iter().any(|top| point.starts_with(top));
    assert!(points.iter().all(known), "{table}");
    assert!(!table.contains("shared:"), "{table}");
}

fn devices_work() {
    let sandbox = Sandbox::new(
        "echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; stat -c %a:%u:%g:%t:%T /dev/null; \
         for l in fd stdin ptmx; do readlink /dev/$l; done; mknod /dev/x c 1 3 2>/dev/null || echo refused; stat -c %a /dev /dev/shm; \
         stat -c %a:%u:%g:%t:%T /dev/mine /dev/net/tun; touch /dev/shm/x && echo shm",
    )
    .change(|spec| {
        spec["linux"]["devices"] = json!([
            { "path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 7, "gid": 8 },
            { "path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200, "fileMode": 0o600 },
        ]);
    });
    let expected = "4\n4\n666:0:0:1:3\n/proc/self/fd\n/proc/self/fd/0\npts/ptmx\nrefused\n755\n1777\n640:7:8:1:5\n600:0:0:a:c8\nshm";
    assert_eq!(sandbox.output(), expected);
}

fn masked_and_read_only_paths() {
    let output = Sandbox::new(
        "for f in kcore keys timer_list; do [ ! -e /proc/$f ] || wc -c < /proc/$f; done | grep -vx 0; \
         ls /sys/firmware | wc -l; (echo 1 > /proc/sys/kernel/domainname) 2>&1; touch /sys/x 2>/dev/null || echo sys",
    )
    .output();
    let expected = "0\n/bin/sh: can't create /proc/sys/kernel/domainname: Read-only file system\nsys";
    assert_eq!(output, expected);
}

fn a_read_only_root() {
    let sandbox = Sandbox::new(
        "touch /x 2>/dev/null || echo root; touch /dev/shm/x && echo shm; mount | grep ' / ' | grep -c 'ro,'",
    )
    .change(|spec| spec["root"]["readonly"] = json!(true));
    assert_eq!(sandbox.output(), "root\nshm\n1");
}

fn binds_show_the_containers_ids() {
    let sandbox = Sandbox::new("stat -c %u:%g /data /data/mine; echo new > /data/new; cat /etc/given");
    let data = sandbox.scratch().join("data");
    fs::create_dir(&data).expect("mkdir");
    fs::write(data.join("mine"), "x").expect("write");
    std::os::unix::fs::chown(data.join("mine"), Some(1000), Some(1000)).expect("chown");
    fs::write(sandbox.scratch().join("file"), "given").expect("write");
    let file = sandbox.scratch().join("file");
    let source = data.clone();
    let sandbox = sandbox
        .with_mount(
            json!({ "destination": "/data", "type": "bind", "source": source, "options": ["rbind", "rprivate"] }),
        )
        .with_mount(json!({ "destination": "/etc/given", "type": "bind", "source": file, "options": ["rbind", "ro"] }));
    assert_eq!(sandbox.output(), "0:0\n1000:1000\ngiven");
    assert_eq!(fs::metadata(data.join("new")).expect("new").uid(), 0, "on the host it is the container's id");
}

fn read_only_binds() {
    for option in ["ro", "rro"] {
        let sandbox = Sandbox::new("touch /data/x 2>&1; mount | grep /data | grep -o 'ro,' | head -1");
        let source = sandbox.scratch().to_owned();
        let sandbox = sandbox.with_mount(
            json!({ "destination": "/data", "type": "bind", "source": source, "options": ["rbind", option] }),
        );
        assert_eq!(sandbox.output(), "touch: /data/x: Read-only file system\nro,", "{option}");
    }
}

fn a_missing_source_is_named() {
    let sandbox = Sandbox::new("true")
        .with_mount(json!({ "destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"] }));
    assert_eq!(sandbox.run().expect_err("missing").to_string(), "bind source path does not exist: /no/such");
}

fn hostile_links_stay_inside() {
    let sandbox = Sandbox::new("ls /outside /etc/over /proc/self/root/outside; cat /etc/resolv.conf");
    let victim = sandbox.scratch().join("victim");
    fs::create_dir(&victim).expect("mkdir");
    symlink("../../../../../../../../outside", sandbox.layer.join("etc/up")).expect("link");
    symlink(&victim, sandbox.layer.join("abs")).expect("link");
    symlink("../run/nothing/stub.conf", sandbox.layer.join("etc/resolv.conf")).expect("link");
    let source = sandbox.scratch().join("given");
    fs::write(&source, "nameserver").expect("write");
    let tmpfs = |destination: &str| json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs" });
    let sandbox = sandbox
        .with_mount(tmpfs("/etc/up/here"))
        .with_mount(tmpfs("/abs/there"))
        .with_mount(tmpfs("/etc/over"))
        .with_mount(
            json!({ "destination": "/etc/resolv.conf", "type": "bind", "source": source, "options": ["rbind", "ro"] }),
        );
    let output = sandbox.output();
    assert!(output.contains("here") && output.ends_with("nameserver"), "{output}");
    assert_eq!(fs::read_dir(&victim).expect("victim").count(), 0, "nothing was made outside");
}

fn proc_through_a_link_is_refused() {
    let sandbox = Sandbox::new("true");
    fs::create_dir(sandbox.layer.join("elsewhere")).expect("mkdir");
    symlink("elsewhere", sandbox.layer.join("proc")).expect("link");
    let error = sandbox.run().expect_err("a link");
    assert!(error.to_string().contains("cannot mount on /proc"), "{error}");
}

fn a_start_writes_nothing() {
    let sandbox = Sandbox::new("true");
    sandbox.output();
    assert_eq!(fs::read_dir(sandbox.upper()).expect("upper").count(), 0);
}

fn many_binds() {
    let mut sandbox = Sandbox::new("ls /many | wc -l");
    let source = sandbox.scratch().join("store");
    for number in 0..150 {
        let destination = format!("/many/{number}");
        let mount = json!({ "destination": destination, "type": "bind", "source": source, "options": ["bind", "ro"] });
        sandbox = sandbox.with_mount(mount);
    }
    assert_eq!(sandbox.output(), "150");
}
