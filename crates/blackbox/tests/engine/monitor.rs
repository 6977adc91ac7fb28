//! Containers on the engine's own monitor: the whole engine in a machine whose processor has hardware virtualization
//! (nested SVM, interpreted), without QEMU. `make test-vm` runs it.

use std::path::Path;

use berth_blackbox::{
    guest::{Guest, told},
    machine::obtain_kernel,
    skip,
};

/// What is told of containers that want the monitor, and of those that cannot have it; `IS name value` for each.
const SCRIPT: &str = r#"
is() { echo "IS $1 $(eval "$2" 2>&1 | tr '\n' ' ')"; }
modprobe kvm_amd && modprobe tun || exit 1
mkdir -p /var/log
# Its tmpfs cannot show files under other ids, and the runtime root is on one.
grep " /run tmpfs " /proc/mounts >/dev/null || mount -t tmpfs run /run
berth daemon -H unix:///run/engine.sock --log-level info >/var/log/berth 2>&1 &
export DOCKER_HOST=unix:///run/engine.sock
n=0
until berth version >/dev/null 2>&1; do n=$((n + 1)); sleep 0.2; [ $n -lt 300 ] || { cat /var/log/berth; exit 1; }; done
mkdir -p /base/bin && cp /bin/busybox /base/bin/busybox && ln -s busybox /base/bin/sh
(cd /base && tar cf - .) | berth import - base >/dev/null
berth vm kernel --path /kernel --modules /lib/modules >/dev/null || exit 1
is probe "berth info --format '{{json .Runtimes}}' | sed 's/.*io.berth.vm.why\":\"//; s/\".*//'"
asks="--isolation vm --annotation io.berth.vm.wanted-monitor=berth"
inside='B=/bin/busybox; echo $($B uname -n) $($B wc -l </proc/mounts); $B ping -c 1 -W 20 172.17.0.1 >/dev/null && echo reached; exit 42'
is ran "berth run --name it --hostname inner $asks base sh -c '$inside'; echo code \$?"
is shown "berth inspect --format '{{index .HostConfig.Annotations \"io.berth.vm.monitor\"}}: {{index .HostConfig.Annotations \"io.berth.vm.why\"}}' it"
serve='B=/bin/busybox; echo found >/index.html; $B httpd -p 80 -h /; while :; do $B sleep 1; done'
berth run -d --name stays -m 64m -p 8080:80 $asks base sh -c "$serve" >/dev/null
is monitor "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -A3 '^/vm/berth'"
is exec "berth exec stays sh -c 'echo kept >/file; /bin/busybox cat /file'"
is copied "berth cp stays:/file - | tar xOf -"
is published "n=0; until printf 'GET /index.html HTTP/1.0\r\n\r\n' | nc -w 10 127.0.0.1 8080 2>/dev/null | grep found || [ \$n = 20 ]; do n=\$((n + 1)); sleep 1; done"
is stats "berth stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' stays"
is updated "berth update -m 32m stays >/dev/null; berth exec stays /bin/busybox cat /sys/fs/cgroup/memory.max"
berth kill stays >/dev/null; is killed "berth wait stays"
berth rm -f stays >/dev/null
is volume "berth run --rm $asks -v /base:/there base sh -c true"
is left "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -c '^/vm/berth'"
is plain "berth run --rm --isolation vm base sh -c true"
"#;

#[test]
fn containers_run_on_the_engines_own_monitor() {
    if std::env::var_os("BERTH_TEST_VM").is_none() {
        skip!("machines are tried by make test-vm");
    }
    let kernel = match obtain_kernel() {
        Ok((kernel, _)) => kernel,
        Err(why) => skip!("{why}"),
    };
    let files: [(&Path, &str); 2] = [(&berth_blackbox::engine::binary(), "/usr/bin/berth"), (&kernel, "/kernel")];
    let guest = match Guest::build(SCRIPT, &files) {
        Ok(guest) => guest,
        Err(why) => skip!("{why}"),
    };
    let said = guest.boot_with_kvm().finish(460);
    let is = |name: &str| told(&said, name);
    assert!(is("ran").starts_with("inner ") && is("ran").ends_with(" reached code 42"), "{said}");
    assert!(is("shown").starts_with("berth-kvm: ") && is("shown").ends_with("is asked for"), "{said}");
    assert_eq!(is("monitor"), "/vm/berth vmm --config /vm/vmm.json");
    assert_eq!([is("exec"), is("copied"), is("killed")], ["kept", "kept", "137"], "{said}");
    assert_eq!(is("published"), "found", "{said}");
    // A shell, a server, and mostly a pause.
    assert!(["2 ", "3 "].iter().any(|count| is("stats").starts_with(count)), "{said}");
    assert!(is("stats").ends_with("/ 64MiB"), "{said}");
    assert_eq!(is("updated"), (32 << 20).to_string(), "{said}");
    assert!(is("volume").contains("berth's own monitor does not share directories yet"), "{said}");
    assert_eq!(is("left"), "0", "{said}");
    // Not asked for, it is not taken: the probe finds this KVM slow.
    for name in ["probe", "plain"] {
        assert!(is(name).contains("is emulated, and no kernel boots on it; QEMU interprets guests"), "{said}");
    }
    assert!(said.contains("GUEST-EXIT 0"), "{said}");
}
