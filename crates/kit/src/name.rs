//! Names of containers, networks and volumes.

const LEFT: &[&str] = &[
    "able", "amber", "azure", "bold", "brave", "bright", "calm", "clear", "crisp", "daring", "deft", "eager", "fair",
    "fleet", "fond", "gentle", "glad", "golden", "hardy", "jolly", "keen", "kind", "lively", "lucid", "merry", "mild",
    "nimble", "noble", "patient", "placid", "proud", "quick", "quiet", "ready", "serene", "silver", "sleek", "snug",
    "sober", "steady", "sturdy", "sunny", "swift", "tidy", "trim", "true", "vivid", "warm", "wise", "witty",
];
const RIGHT: &[&str] = &[
    "anchor", "barge", "beacon", "bollard", "bow", "brig", "buoy", "cabin", "canvas", "capstan", "cargo", "clipper",
    "compass", "cutter", "deck", "dhow", "dinghy", "dock", "ferry", "galley", "gull", "halyard", "harbor", "hatch",
    "helm", "hull", "jetty", "junk", "keel", "ketch", "lantern", "ledger", "lugger", "mast", "mooring", "oar", "pier",
    "pilot", "quay", "rudder", "sail", "schooner", "sextant", "skiff", "sloop", "spar", "stern", "tender", "tide",
    "tiller", "trawler", "tug", "wharf", "windlass", "yawl",
];

/// A random two-word name such as `steady_quay`; `attempt` > 0 adds a digit, for use after a clash.
#[must_use]
pub fn random(attempt: u32) -> String {
    let mut bytes = [0u8; 5];
    getrandom::fill(&mut bytes).expect("getrandom(2) failed");
    let pick = |words: &[&'static str], hi: u8, lo: u8| words[(usize::from(hi) << 8 | usize::from(lo)) % words.len()];
    let mut name = format!("{}_{}", pick(LEFT, bytes[0], bytes[1]), pick(RIGHT, bytes[2], bytes[3]));
    if attempt > 0 {
        name.push_str(&format!("{}", u32::from(bytes[4]) * attempt % 1000));
    }
    name
}

/// Whether `name` matches Docker's `[a-zA-Z0-9][a-zA-Z0-9_.-]+` (at least two characters).
#[must_use]
pub fn is_valid(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.len() >= 2
        && name.len() <= 255
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_names_are_valid() {
        for attempt in 0..50 {
            assert!(is_valid(&random(attempt)));
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for name in ["", "a", "-ab", "a/b", "..", "a b", "é1", &"x".repeat(256)] {
            assert!(!is_valid(name), "{name:?}");
        }
    }
}
