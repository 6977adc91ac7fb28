//! The corpus of attacks: what broke the engines that were before, one test by the number of each vulnerability.
//!
//! Each attack is made on the build under test, which must hold, and on a weakened build, which must not: a test that
//! never fails proves nothing. A weakened build (feature `weakened`, `berth_kit::guard`) goes without the one wall that a
//! test names. A canary tree on the host is compared after every attack, and once more when all are over.
//!
//! ```text
//! make test-attacks                  # both builds, full counts
//! make test-attacks-short            # both builds, the counts of the usual run
//! cargo nextest run -p berth-blackbox --test attack      # the build under test alone
//! ```

mod arena;
mod canary;
mod copy;
mod daemon;
mod descriptor;
mod image;
mod kernel_tree;
mod machine_code;
mod privilege;
mod program;
mod race;

/// A wall that no attack misses is no wall, and one that the page does not name is not known.
#[test]
fn every_guard_has_its_attack_and_its_line() {
    const ATTACKS: &[&str] = &[
        include_str!("copy.rs"),
        include_str!("daemon.rs"),
        include_str!("descriptor.rs"),
        include_str!("image.rs"),
        include_str!("kernel_tree.rs"),
        include_str!("privilege.rs"),
        include_str!("program.rs"),
        include_str!("race.rs"),
    ];
    let page = include_str!("../../../../docs/attacks.md");
    let guards = include_str!("../../../kit/src/guard.rs").lines();
    let names: Vec<&str> = guards.filter_map(|line| line.trim().strip_suffix("\",")?.split(" = \"").nth(1)).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let attack = format!("attack(&[\"{name}\"]");
        assert!(ATTACKS.iter().any(|file| file.contains(&attack)), "no attack misses {name}");
        assert!(page.contains(name), "docs/attacks.md does not name {name}");
    }
}
