//! The suite's own checks in a machine with a kernel and cgroups of its own; `make test-vm` runs them.

use std::path::Path;

use berth_blackbox::guest::Guest;
use berth_blackbox::skip;

/// One engine after the other, each test in the machine as it would run here.
const SCRIPT: &str = "
export BERTH_TEST_BINARY=/usr/bin/berth BERTH_TEST_CLIENT=berth
cd /tmp && /tests/engine --test-threads=2 --show-output cgroup2:: limits::too limits::a_limit limits::stats
";

#[test]
fn pure_cgroup_v2_holds_what_it_should() {
    if std::env::var_os("BERTH_TEST_VM").is_none() {
        skip!("machines are tried by make test-vm");
    }
    let own = std::env::current_exe().expect("own path");
    let files: [(&Path, &str); 2] = [(&berth_blackbox::engine::binary(), "/usr/bin/berth"), (&own, "/tests/engine")];
    let guest = match Guest::build(SCRIPT, &files) {
        Ok(guest) => guest,
        Err(why) => skip!("{why}"),
    };
    let said = guest.boot().finish(150);
    assert!(said.contains("GUEST-EXIT 0") && said.contains("test result: ok. 7 passed"), "{said}");
    assert!(!said.contains("skipped:"), "{said}");
}

/// What systemd says of a scope, and what the kernel does, at the times that matter; `IS name value` for each.
const SYSTEMD: &str = r#"
is() { echo "IS $1 $(eval "$2" 2>&1 | tr '\n' ' ')"; }
berth daemon --exec-opt native.cgroupdriver=systemd --log-level warn >/var/log/berth 2>&1 &
n=0
until berth version >/dev/null 2>&1; do n=$((n + 1)); sleep 0.2; [ $n -lt 200 ] || { cat /var/log/berth; exit 1; }; done
mkdir -p /base/bin && cp /bin/busybox /base/bin/sh && ln -s sh /base/bin/sleep && ln -s sh /base/bin/cat
(cd /base && tar cf - .) | berth import - base >/dev/null
is driver "berth info --format '{{.CgroupDriver}} {{.CgroupVersion}}'"
id=$(berth run -d --name it -m 64m --memory-swap 96m --cpus 0.5 --pids-limit 50 base sleep 1000) || { cat /var/log/berth; exit 1; }
unit=berth-$id.scope
cgroup=/sys/fs/cgroup/system.slice/$unit
is shown "systemctl show $unit -p ActiveState -p Slice -p Delegate -p MemoryMax -p TasksMax -p CPUQuotaPerSecUSec | sort"
is kernel "cat $cgroup/memory.max $cgroup/pids.max $cgroup/cpu.max"
is count "wc -l < $cgroup/cgroup.procs"
systemctl daemon-reload
is reloaded "cat $cgroup/memory.max $cgroup/pids.max"
berth update -m 32m --memory-swap 32m it >/dev/null
systemctl daemon-reload
is updated "systemctl show $unit -p MemoryMax; cat $cgroup/memory.max"
is exec "berth exec it cat /proc/self/cgroup"
is stats "berth stats --no-stream --format '{{.PIDs}}' it"
berth kill it >/dev/null; berth wait it >/dev/null
sleep 1
is ended "systemctl show $unit -p LoadState; ls -d $cgroup 2>/dev/null | wc -l"
berth start it >/dev/null
is again "systemctl show $unit -p ActiveState"
berth rm -f it >/dev/null
sleep 1
is gone "systemctl list-units --all --no-legend 'berth-*' | wc -l"
is refused "berth daemon --exec-opt native.cgroupdriver=other --validate"
"#;

#[test]
fn systemd_makes_the_cgroups_where_it_is_asked_to() {
    if std::env::var_os("BERTH_TEST_VM").is_none() {
        skip!("machines are tried by make test-vm");
    }
    if std::env::var_os("BERTH_TEST_SYSTEMD").is_none() {
        skip!("a machine with Debian's systemd is tried where BERTH_TEST_SYSTEMD is set: it was not seen to pass yet");
    }
    let files: [(&Path, &str); 1] = [(&berth_blackbox::engine::binary(), "/usr/bin/berth")];
    let guest = match Guest::build_systemd(SYSTEMD, &files) {
        Ok(guest) => guest,
        Err(why) => skip!("{why}"),
    };
    let said = guest.boot().finish(150);
    let is = |name: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(&format!("IS {name} ")));
        line.unwrap_or_else(|| panic!("nothing about {name}:\n{said}")).trim().to_owned()
    };
    assert_eq!(is("driver"), "systemd 2");
    assert_eq!(
        is("shown"),
        "ActiveState=active CPUQuotaPerSecUSec=500ms Delegate=yes MemoryMax=67108864 Slice=system.slice TasksMax=50"
    );
    assert_eq!(is("kernel"), "67108864 50 50000 100000");
    assert_eq!(is("count"), "1", "the keeper is not in the scope");
    assert_eq!(is("reloaded"), "67108864 50");
    assert_eq!(is("updated"), "MemoryMax=33554432 33554432");
    assert_eq!(is("exec"), "0::/");
    assert_eq!(is("stats"), "1");
    assert_eq!(is("ended"), "LoadState=not-found 0");
    assert_eq!(is("again"), "ActiveState=active");
    assert_eq!(is("gone"), "0");
    assert!(is("refused").contains("native.cgroupdriver is cgroupfs or systemd"), "{}", is("refused"));
    assert!(said.contains("GUEST-EXIT 0"), "{said}");
}
