//! Whether the caller is in a user namespace below the machine's own, and what that changes (`user_namespaces(7)`).
//!
//! Root in such a namespace makes mounts and networks of its own, but no device nodes, no id-mapped mounts of the
//! machine's file systems, and no attributes `trusted.*`.

use std::sync::OnceLock;

/// The ids of the machine's own user namespace map to themselves, all of them.
const ALL: [&str; 3] = ["0", "0", "4294967295"];

/// Whether the caller's user namespace is not the machine's own. Asked of the kernel once.
pub fn is_nested() -> bool {
    static NESTED: OnceLock<bool> = OnceLock::new();
    *NESTED.get_or_init(|| std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !is_whole(&map)))
}

/// How many ids, from 0 on without a gap, the caller's user namespace has (of both kinds).
pub fn ids() -> u32 {
    let run = |file: &str| std::fs::read_to_string(file).map_or(1, |map| length_from_zero(&map));
    run("/proc/self/uid_map").min(run("/proc/self/gid_map"))
}

/// Overlay's attribute of that name: kernels take `user.overlay.*` from a mount of a user namespace (option `userxattr`,
/// kernel documentation, overlayfs.rst), and `trusted.overlay.*` from one of the machine's root.
pub fn overlay_attribute(name: &str) -> String {
    let space = if is_nested() { "user" } else { "trusted" };
    format!("{space}.overlay.{name}")
}

fn is_whole(map: &str) -> bool {
    map.split_whitespace().eq(ALL)
}

fn length_from_zero(map: &str) -> u32 {
    let mut runs: Vec<(u32, u32)> = map.lines().filter_map(run_of).collect();
    runs.sort_unstable();
    runs.iter().fold(0, |end, (inside, length)| if *inside == end { end.saturating_add(*length) } else { end })
}

/// First id inside, and how many.
fn run_of(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.split_whitespace().map(str::parse::<u32>);
    let (inside, _, length) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((inside, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read() {
        assert!(is_whole("         0          0 4294967295\n"));
        assert!(!is_whole("         0       1000          1\n         1     100000      65536\n"));
        assert_eq!(length_from_zero("0 1000 1\n1 100000 65536\n"), 65_537);
        assert_eq!(length_from_zero("1 100000 65536\n0 1000 1\n"), 65_537);
        assert_eq!(length_from_zero("0 1000 1\n5 100000 65536\n"), 1);
        assert_eq!(length_from_zero(""), 0);
    }
}
