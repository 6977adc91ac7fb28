//! The clock is set by a day, forth and back: in a machine of its own, as there is one clock for all here.

use std::path::Path;

use berth_blackbox::guest::{Guest, told};
use berth_blackbox::skip;

/// Containers that a clock matters to, seen before and after it was set; `IS name value` for each.
const SCRIPT: &str = r#"
is() { echo "IS $1 $(eval "$2" 2>&1 | tr '\n' ' ')"; }
within() { n=0; until eval "$1"; do n=$((n + 1)); [ $n -lt 100 ] || return 1; sleep 0.2; done; }
state() { berth inspect --format "{{.$1}}" $2; }
beats() { berth logs beats 2>/dev/null | wc -l; }
export BERTH_HOST=unix:///run/berth/berth.sock
berth daemon --log-level warn >/tmp/daemon.log 2>&1 &
within 'berth version >/dev/null 2>&1' || { cat /tmp/daemon.log; exit 1; }
mkdir -p /base/bin && cp /bin/busybox /base/bin/sh && ln -s sh /base/bin/sleep && ln -s sh /base/bin/true && ln -s sh /base/bin/usleep
(cd /base && tar cf - .) | berth import - base >/dev/null
berth run -d --name healthy --health-cmd true --health-interval 1s --health-start-period 1s base sleep 1000 >/dev/null
berth run -d --name beats base sh -c 'while :; do echo beat; sleep 0.3; done' >/dev/null
within '[ "$(state State.Health.Status healthy)" = healthy ]'
for jump in 86400 -86400; do
    # Anew, as the back-off doubles.
    berth rm -f again >/dev/null 2>&1
    berth run -d --name again --restart always base sh -c 'sleep 0.3; exit 3' >/dev/null
    within '[ $(state RestartCount again) -gt 0 ]'
    now=$(date +%s)
    restarts=$(state RestartCount again); heard=$(beats)
    date -s @$((now + jump)) >/dev/null
    past=$(state State.Health.Log healthy)
    is "probes$jump" 'within "[ \"\$(state State.Health.Log healthy)\" != \"\$past\" ]" && state State.Health.Status healthy'
    is "restarts$jump" "within '[ \$(state RestartCount again) -gt $restarts ]' && echo yes"
    is "log$jump" "within '[ \$(beats) -gt $heard ]' && echo yes"
    is "since$jump" "within '[ \$(berth logs --since 5s beats | wc -l) -gt 0 ]' && echo yes"
    is "run$jump" 'berth run --rm base sh -c "exit 7"; echo $?'
    is "stop$jump" 'berth restart -t 1 beats >/dev/null && state State.Status beats'
done
is running 'berth ps -q | wc -l'
is fsck 'berth fsck >/dev/null && echo clean'
"#;

#[test]
fn a_clock_that_jumps_by_a_day_changes_nothing() {
    if std::env::var_os("BERTH_TEST_VM").is_none() {
        skip!("machines are tried by make test-vm");
    }
    let files: [(&Path, &str); 1] = [(&berth_blackbox::engine::binary(), "/usr/bin/berth")];
    let guest = match Guest::build(SCRIPT, &files) {
        Ok(guest) => guest,
        Err(why) => skip!("{why}"),
    };
    let said = guest.boot().finish(170);
    let is = |name: &str| told(&said, name);
    for jump in ["86400", "-86400"] {
        assert_eq!(is(&format!("probes{jump}")), "healthy", "health checks go on: {said}");
        assert_eq!(is(&format!("restarts{jump}")), "yes", "restarts go on: {said}");
        assert_eq!(is(&format!("log{jump}")), "yes", "the log goes on: {said}");
        assert_eq!(is(&format!("since{jump}")), "yes", "what is new is told: {said}");
        assert_eq!(is(&format!("run{jump}")), "7", "{said}");
        assert_eq!(is(&format!("stop{jump}")), "running", "{said}");
    }
    assert_eq!((is("running"), is("fsck")), ("3".to_owned(), "clean".to_owned()));
    assert!(said.contains("GUEST-EXIT 0"), "{said}");
}
