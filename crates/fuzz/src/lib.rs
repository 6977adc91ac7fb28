//! What must hold for any bytes: a function for each parser of bytes that others write.
//!
//! A target takes any input and returns, or panics when something does not hold. libFuzzer drives them from `fuzz/`
//! (`make fuzz`); a test here sends every seed and every case that was ever found (`fuzz/seeds`, `fuzz/found`) through
//! them, so that the normal suite notices what a fuzzer once noticed.

mod api;
mod archive;
mod build;
mod document;
mod log;
mod packet;
mod registry;
mod run;

/// A target's function.
pub type Target = fn(&[u8]);

/// Every target by name; `fuzz/fuzz_targets` has a file of each name.
pub const TARGETS: &[(&str, Target)] = &[
    ("api_json", api::json),
    ("api_query", api::query),
    ("archive_read", archive::read),
    ("archive_unpack", archive::unpack),
    ("auth_header", registry::auth_header),
    ("build_context", build::context),
    ("dns", packet::dns),
    ("dockerfile_ignore", build::ignore),
    ("dockerfile_parse", build::dockerfile),
    ("image_config", document::image_config),
    ("image_manifest", document::image_manifest),
    ("json_file", log::json_file),
    ("log_local", log::local),
    ("netlink", packet::netlink),
    ("oci_spec", run::oci_spec),
    ("record", document::record),
    ("reference", document::reference),
    ("registry_manifest", registry::manifest),
    ("registry_request", registry::request),
    ("seccomp", run::seccomp),
    ("supervisor_frame", packet::supervisor_frame),
];

/// Runs the target of a name.
///
/// # Panics
/// When there is none, or when something does not hold.
pub fn run(name: &str, input: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(own, _)| *own == name).unwrap_or_else(|| panic!("no target {name}"));
    target(input);
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
    }

    /// Where a case breaks a target, the panic's backtrace says what; the file is named before it.
    #[test]
    fn every_seed_and_every_found_case_passes() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        for (name, target) in TARGETS {
            let seeds = files(&fuzz.join("seeds").join(name));
            assert!(!seeds.is_empty(), "{name} has no seed in fuzz/seeds/{name}");
            assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).is_file(), "{name} has no fuzz target");
            for path in seeds.into_iter().chain(files(&fuzz.join("found").join(name))) {
                eprintln!("{}", path.display());
                let bytes = std::fs::read(&path).expect("a seed");
                target(&bytes);
                // A seed cut short, and one with a byte flipped, at some places.
                for at in (0..bytes.len()).step_by((bytes.len() / 8).max(1)) {
                    target(&bytes[..at]);
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 0x41;
                    target(&flipped);
                }
            }
        }
    }

    #[test]
    fn nothing_and_noise_are_taken_by_all() {
        let noise: Vec<u8> = (0..2048_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (_, target) in TARGETS {
            target(b"");
            target(&noise);
        }
    }
}
