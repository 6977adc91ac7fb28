//! Rule: arrows between crates go down, sideways only where the picture in ARCHITECTURE.md draws one.
//!
//! The picture, as data: crates by layer from the ground up, the sideways arrows, and what the narrow crates may see.

use super::Fault;

/// From the ground up. A crate may depend on crates of lower layers.
const LAYERS: &[&[&str]] = &[
    &["kit", "spec", "sys"],
    &["record", "archive", "content", "erofs", "snapshot", "log", "remote", "dns", "dockerfile", "cdi", "share"],
    &["runtime", "vmm", "vm", "supervisor"],
    &["event", "image", "network", "volume", "container", "build", "machine"],
    &["api", "client", "cli", "registry", "oci", "buildkit"],
    &["berth"],
];

/// Arrows inside one layer: (from, to).
const SIDEWAYS: &[(&str, &[&str])] = &[
    ("spec", &["kit"]),
    ("sys", &["kit"]),
    ("remote", &["content"]),
    ("snapshot", &["erofs"]),
    ("vm", &["runtime", "vmm"]),
    ("supervisor", &["runtime", "vm"]),
    ("image", &["event"]),
    ("network", &["event"]),
    ("volume", &["event"]),
    ("container", &["event", "image", "network", "volume"]),
    ("build", &["container", "event", "image", "network"]),
    ("machine", &["event", "image", "network"]),
    ("api", &["buildkit"]),
    ("cli", &["client"]),
];

/// Crates that may see less than all that lies below them. Tools stand outside of the layers and are listed here.
const NARROW: &[(&str, &[&str])] = &[
    ("client", &["kit", "spec"]),
    ("cli", &["client", "dockerfile", "kit", "spec"]),
    ("blackbox", &[]),
    ("bench", &["blackbox"]),
    (
        "fuzz",
        &[
            "api",
            "archive",
            "buildkit",
            "dns",
            "dockerfile",
            "image",
            "log",
            "network",
            "record",
            "registry",
            "remote",
            "runtime",
            "spec",
            "supervisor",
        ],
    ),
];

/// Synchronous crates: tokio is no dependency of theirs, not even in tests.
const SYNCHRONOUS: &[&str] = &[
    "kit",
    "spec",
    "sys",
    "record",
    "archive",
    "content",
    "erofs",
    "snapshot",
    "log",
    "cdi",
    "dockerfile",
    "share",
    "runtime",
    "vmm",
    "vm",
];

pub fn check(path: &str, manifest: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    // Fuzz targets are a workspace of their own, built by a compiler that lints differently.
    if path.starts_with("fuzz/") {
        return faults;
    }
    if !manifest.contains("[lints]\nworkspace = true") {
        faults.push(Fault::error(path, 0, "the package does not take the workspace's lints"));
    }
    let Some(name) = path.strip_prefix("crates/").and_then(|rest| rest.split('/').next()) else { return faults };
    if layer(name).is_none() && !NARROW.iter().any(|(narrow, _)| *narrow == name) {
        faults.push(Fault::error(path, 0, format!("crate {name} stands in no layer (xtask/src/tidy/layers.rs)")));
    }
    for (line, dependency) in dependencies(manifest) {
        if let Some(other) = dependency.strip_prefix("berth-").filter(|other| !may_see(name, other)) {
            faults.push(Fault::error(path, line, format!("{name} may not depend on {other}: arrows go down only")));
        }
        if dependency.starts_with("tokio") && SYNCHRONOUS.contains(&name) {
            faults.push(Fault::error(path, line, format!("{name} is synchronous and never sees {dependency}")));
        }
    }
    faults
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

fn may_see(from: &str, to: &str) -> bool {
    if let Some((_, seen)) = NARROW.iter().find(|(name, _)| *name == from) {
        return seen.contains(&to);
    }
    match (layer(from), layer(to)) {
        (Some(from_layer), Some(to_layer)) if from_layer == to_layer => {
            SIDEWAYS.iter().any(|(name, seen)| *name == from && seen.contains(&to))
        }
        (Some(from_layer), Some(to_layer)) => to_layer < from_layer,
        _ => false,
    }
}

/// (1-based line, package) of each dependency in any `…dependencies` table of a manifest.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in manifest.lines().enumerate() {
        if let Some(table) = line.trim().strip_prefix('[') {
            inside = table.trim_end_matches(']').ends_with("dependencies");
        } else if inside && line.contains('=') {
            let name = line.split(['=', '.']).next().unwrap_or_default().trim();
            found.push((index + 1, name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(krate: &str, dependencies: &str) -> Vec<Fault> {
        let manifest = format!("[lints]\nworkspace = true\n\n[dependencies]\n{dependencies}");
        check(&format!("crates/{krate}/Cargo.toml"), &manifest)
    }

    #[test]
    fn bites_on_an_arrow_upwards_or_across() {
        assert_eq!(faults("image", "berth-container.workspace = true\n").len(), 1);
        assert_eq!(faults("snapshot", "berth-runtime = { path = \"../runtime\" }\n").len(), 1);
        assert_eq!(faults("cli", "berth-container.workspace = true\n").len(), 1, "cli never links a noun");
        assert_eq!(faults("network", "berth-image.workspace = true\n").len(), 1);
        assert!(faults("container", "berth-image.workspace = true\nberth-kit.workspace = true\n").is_empty());
    }

    #[test]
    fn bites_on_tokio_in_a_synchronous_crate() {
        assert_eq!(faults("runtime", "tokio.workspace = true\n").len(), 1);
        assert_eq!(faults("sys", "tokio-util = \"0.7\"\n").len(), 1);
        assert!(faults("image", "tokio.workspace = true\n").is_empty());
    }

    #[test]
    fn bites_on_a_crate_without_layer_or_lints() {
        assert_eq!(check("crates/stray/Cargo.toml", "[package]\n").len(), 2);
    }

    #[test]
    fn reads_dependencies_of_every_table() {
        let manifest = "[package]\nname = \"x\"\n[dev-dependencies]\na = \"1\"\n[target.'cfg(unix)'.dependencies]\nb.workspace = true\n";
        assert_eq!(dependencies(manifest), [(4, "a"), (6, "b")]);
    }
}
