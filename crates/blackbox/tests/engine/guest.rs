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
