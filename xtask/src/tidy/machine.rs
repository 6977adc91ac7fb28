//! Rule: nothing in the repository names the place where it was written.

use std::path::Path;

use super::Fault;

/// Folders that many machines have: naming them gives nothing away.
const EVERYWHERE: &[&str] = &["/", "/tmp", "/var/tmp", "/root", "/home", "/opt", "/srv", "/src", "/usr/src", "/mnt"];

/// The checkout's own path and its parent's, as prefixes to look for.
pub fn own_paths(root: &Path) -> Vec<String> {
    [Some(root), root.parent()]
        .into_iter()
        .flatten()
        .filter_map(|path| path.to_str())
        .filter(|path| !EVERYWHERE.contains(path))
        .map(|path| format!("{path}/"))
        .collect()
}

pub fn check(path: &str, text: &str, own: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if own.iter().any(|prefix| stands_alone(line, prefix)) {
            faults.push(Fault::error(path, index + 1, "a path of one machine"));
        }
    }
    faults
}

/// Whether `prefix` begins a path here, and is not the middle of a longer one.
fn stands_alone(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        !line[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '>' | ')'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bites_on_the_checkouts_own_paths() {
        let own = own_paths(Path::new("/build/box/berth"));
        assert_eq!(own, ["/build/box/berth/", "/build/box/"]);
        assert_eq!(check("a.md", "see /build/box/notes\nsee /other/build/box/x\n", &own).len(), 1);
        assert_eq!(own_paths(Path::new("/tmp/berth")), ["/tmp/berth/"]);
    }
}
