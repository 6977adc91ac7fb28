//! Rule: paths that an image, an archive or a container names are opened below a descriptor.
//!
//! Two signs of the contrary can be told from the text. Files that work for such names alone (the archive crate, the
//! mounts of the runtime) have no business with `std::fs`, whose functions resolve a whole path from the host's root. And
//! `canonicalize` anywhere in the engine looks at a path now that somebody else may change before it is used. A line that
//! must do so (the path is the host's own) says why in a `// PATH:` comment directly above.

use super::Fault;
use super::source::Source;

/// Where every name is a stranger's.
const DESCRIPTORS_ONLY: &[&str] = &[
    "crates/archive/src/",
    "crates/runtime/src/device.rs",
    "crates/runtime/src/mount/",
    "crates/runtime/src/path.rs",
    "crates/runtime/src/rootfs.rs",
    "crates/runtime/src/sysctl.rs",
    "crates/runtime/src/terminal.rs",
    "crates/runtime/src/user.rs",
];

/// Where strangers' names are found among the host's own.
const ENGINE: &[&str] = &[
    "crates/api/src/",
    "crates/archive/src/",
    "crates/build/src/",
    "crates/container/src/",
    "crates/image/src/",
    "crates/oci/src/",
    "crates/runtime/src/",
    "crates/snapshot/src/",
    "crates/supervisor/src/",
    "crates/volume/src/",
];

/// What resolves a path from the host's root; `File::from` wraps a descriptor and is none of them.
const BY_PATH: &[&str] = &[
    "std::fs::copy",
    "std::fs::create_dir",
    "std::fs::hard_link",
    "std::fs::metadata",
    "std::fs::read",
    "std::fs::remove",
    "std::fs::rename",
    "std::fs::set_permissions",
    "std::fs::symlink_metadata",
    "std::fs::write",
    "File::create(",
    "File::open(",
    "OpenOptions",
];

pub fn check(source: &Source) -> Vec<Fault> {
    let is_in = |places: &[&str]| places.iter().any(|place| source.path.starts_with(place));
    let (strict, engine) = (is_in(DESCRIPTORS_ONLY), is_in(ENGINE));
    if !strict && !engine || source.path.ends_with("/test.rs") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (index, line) in source.code.iter().enumerate().take(source.lines_before_tests()) {
        let found = BY_PATH.iter().find(|call| strict && line.contains(**call));
        let found = found.or_else(|| line.contains("canonicalize(").then_some(&"canonicalize"));
        if let Some(call) = found
            && !is_explained(source, index)
        {
            let text = format!("{} without a PATH comment: open names below a descriptor", call.trim_end_matches('('));
            faults.push(Fault::error(&source.path, index + 1, text));
        }
    }
    faults
}

/// A comment with `PATH:` in the lines directly above the statement.
fn is_explained(source: &Source, index: usize) -> bool {
    let ends = |line: &str| line.is_empty() || line.ends_with([';', '{', '}']);
    let before = source.code[..index].iter().rev().take_while(|line| !ends(line.trim_end())).count();
    let first = index - before;
    source.lines[first..index]
        .iter()
        .chain(source.lines[..first].iter().rev().take_while(|line| is_comment(line)))
        .any(|line| line.contains("PATH:"))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bites_on_paths_from_the_hosts_root() {
        let bites = |path: &str, text: &str| check(&Source::new(path, text)).len();
        let text = "let bytes = std::fs::read(root.join(name))?;\n";
        assert_eq!(bites("crates/archive/src/a.rs", text), 1);
        assert_eq!(bites("crates/archive/src/a.rs", "let file = File::open(path)?;\n"), 1);
        assert_eq!(bites("crates/container/src/a.rs", text), 0, "the host's files are read there, too");
        assert_eq!(bites("crates/container/src/a.rs", "let real = root.join(inside).canonicalize()?;\n"), 1);
        assert_eq!(bites("crates/cli/src/a.rs", "let real = path.canonicalize()?;\n"), 0);
        assert_eq!(bites("crates/archive/src/a.rs", "let file = std::fs::File::from(descriptor);\n"), 0);
        assert_eq!(bites("crates/archive/src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests { std::fs::read(x); }\n"), 0);
    }

    #[test]
    fn a_reason_is_enough() {
        let text = "fn a() {\n    // PATH: the operator's own.\n    let real = path\n        .canonicalize()?;\n}\n";
        assert!(check(&Source::new("crates/container/src/a.rs", text)).is_empty());
        let far = "// PATH: another.\nlet a = 1;\nlet real = path.canonicalize()?;\n";
        assert_eq!(check(&Source::new("crates/container/src/a.rs", far)).len(), 1);
    }
}
