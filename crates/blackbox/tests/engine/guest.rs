//! The suite's own checks in a machine with a kernel and cgroups of its own; `make test-vm` runs them.

use std::path::Path;

use berth_blackbox::guest::{Guest, told};
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

/// What both scripts begin with: how they tell something, and the files of an image.
const BEGIN: &str = r#"
is() { echo "IS $1 $(eval "$2" 2>&1 | tr '\n' ' ')"; }
mkdir -p /base/bin && cp /bin/busybox /base/bin/sh && ln -s sh /base/bin/sleep && ln -s sh /base/bin/cat
"#;

/// What systemd says of a scope, and what the kernel does, at the times that matter; `IS name value` for each.
const SYSTEMD: &str = r#"
# A client that is told where the daemon is starts none of its own.
export BERTH_HOST=unix:///run/berth/berth.sock
berth daemon --exec-opt native.cgroupdriver=systemd --log-level warn >/var/log/berth 2>&1 &
n=0
until berth version >/dev/null 2>&1; do n=$((n + 1)); sleep 0.2; [ $n -lt 200 ] || { cat /var/log/berth; exit 1; }; done
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

/// An engine of a user, whose service has a cgroup of its own.
const DELEGATED: &str = r#"
useradd --create-home --uid 4711 tester
echo tester:700000:65536 >/etc/subuid
echo tester:700000:65536 >/etc/subgid
mkdir -p /run/user/4711 && chown tester:tester /run/user/4711
cat >/etc/systemd/system/own.service <<END
[Service]
User=tester
Delegate=yes
Environment=XDG_RUNTIME_DIR=/run/user/4711 HOME=/home/tester
ExecStart=/usr/bin/berth daemon --log-level warn
END
systemctl start own
own() {
    setpriv --reuid 4711 --regid 4711 --clear-groups env -i PATH=/usr/bin:/bin HOME=/home/tester \
        BERTH_HOST=unix:///run/user/4711/berth/berth.sock berth "$@"
}
n=0
until own version >/dev/null 2>&1; do n=$((n + 1)); sleep 0.2; [ $n -lt 200 ] || { journalctl -u own; exit 1; }; done
(cd /base && tar cf - .) | own import - base >/dev/null
is owndriver "own info --format '{{.CgroupDriver}} {{.CgroupVersion}}'"
id=$(own run -d --name it -m 64m --memory-swap 96m --cpus 0.5 --pids-limit 50 base sleep 1000) || journalctl -u own
group=/sys/fs/cgroup/system.slice/own.service
is ownkernel "cat $group/$id/memory.max $group/$id/pids.max $group/$id/cpu.max"
is ownengine "wc -l <$group/cgroup.procs; grep -c . $group/berth-engine/cgroup.procs | sed 's/[1-9].*/some/'"
own pause it >/dev/null
is ownpaused "own inspect --format '{{.State.Status}}' it; cat $group/$id/cgroup.freeze"
own unpause it >/dev/null
is ownexec "own exec it cat /proc/self/cgroup"
is ownstats "own stats --no-stream --format '{{.PIDs}}' it"
own update -m 32m --memory-swap 32m it >/dev/null
is ownupdated "cat $group/$id/memory.max"
own rm -f it >/dev/null
is owngone "ls -d $group/$id 2>/dev/null | wc -l"
"#;

/// A machine with Debian's systemd that runs a script to its end, and what it said; none, and why, where this is not asked
/// for or cannot be.
fn with_systemd(script: &str) -> Result<String, String> {
    if std::env::var_os("BERTH_TEST_VM").is_none() {
        return Err("machines are tried by make test-vm".to_owned());
    }
    if std::env::var_os("BERTH_TEST_SYSTEMD").is_none() {
        return Err(
            "a machine with Debian's systemd takes minutes to make: tried where BERTH_TEST_SYSTEMD is set".to_owned()
        );
    }
    let files: [(&Path, &str); 1] = [(&berth_blackbox::engine::binary(), "/usr/bin/berth")];
    Ok(Guest::build_systemd(&[BEGIN, script].concat(), &files)?.boot().finish(300))
}

#[test]
fn systemd_makes_the_cgroups_where_it_is_asked_to() {
    let said = match with_systemd(SYSTEMD) {
        Ok(said) => said,
        Err(why) => skip!("{why}"),
    };
    let is = |name: &str| told(&said, name);
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

#[test]
fn an_engine_of_a_user_hands_on_what_systemd_delegates_to_it() {
    let said = match with_systemd(DELEGATED) {
        Ok(said) => said,
        Err(why) => skip!("{why}"),
    };
    let is = |name: &str| told(&said, name);
    assert_eq!(is("owndriver"), "cgroupfs 2");
    assert_eq!(is("ownkernel"), "67108864 50 50000 100000", "{said}");
    assert_eq!(is("ownengine"), "0 some", "the engine is out of the containers' way");
    assert_eq!(is("ownpaused"), "paused 1");
    assert_eq!(is("ownexec"), "0::/");
    assert_eq!(is("ownstats"), "1");
    assert_eq!(is("ownupdated"), "33554432");
    assert_eq!(is("owngone"), "0");
    assert!(said.contains("GUEST-EXIT 0"), "{said}");
}
