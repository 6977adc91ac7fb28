//! `--security-opt`, `--log-opt`, `--storage-opt`.

use serde_json::{Map, Value};

/// What `--security-opt` asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Options for the daemon, seccomp profiles read and compacted.
    pub options: Vec<String>,
    /// `systempaths=unconfined`: nothing is masked or made read-only.
    pub unmasked: bool,
}

/// Reads all `--security-opt`.
///
/// # Errors
/// Docker's text.
pub fn parse<'a>(given: impl Iterator<Item = &'a str>) -> Result<Security, String> {
    let mut security = Security::default();
    for text in given {
        if text == "systempaths=unconfined" {
            security.unmasked = true;
            continue;
        }
        let split = text.split_once('=').or_else(|| text.split_once(':'));
        match split {
            None if text != "no-new-privileges" => return Err(format!("Invalid --security-opt: {text:?}")),
            Some(("seccomp", profile)) if profile != "unconfined" && profile != "builtin" => {
                security.options.push(format!("seccomp={}", seccomp(profile)?));
            }
            _ => security.options.push(text.to_owned()),
        }
    }
    Ok(security)
}

fn seccomp(path: &str) -> Result<String, String> {
    let bytes = std::fs::read(path)
        .map_err(|e| format!("opening seccomp profile ({path}) failed: open {path}: {}", crate::text::os(&e)))?;
    let profile: Value = serde_json::from_slice(&bytes)
        .map_err(|e| format!("compacting json for seccomp profile ({path}) failed: {e}"))?;
    Ok(profile.to_string())
}

/// The options of a log driver.
///
/// # Errors
/// Options were given with the driver `none`.
pub fn log_options<'a>(driver: &str, given: impl Iterator<Item = &'a str>) -> Result<Map<String, Value>, String> {
    let options = super::label::object(given);
    match driver == "none" && !options.is_empty() {
        true => Err(format!("invalid logging opts for driver {driver}")),
        false => Ok(options),
    }
}

/// The options of the storage driver.
///
/// # Errors
/// One has no value.
pub fn storage_options<'a>(given: impl Iterator<Item = &'a str>) -> Result<Map<String, Value>, String> {
    let mut options = Map::new();
    for text in given {
        let (key, value) = text.split_once('=').ok_or("invalid storage option")?;
        options.insert(key.to_owned(), value.into());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_by_the_client() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.json");
        std::fs::write(&path, "{ \"defaultAction\" : \"SCMP_ACT_ALLOW\" }").unwrap();
        let text = format!("seccomp={}", path.display());
        let security = parse([text.as_str(), "systempaths=unconfined", "no-new-privileges"].into_iter()).unwrap();
        assert_eq!(security.options, [r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#, "no-new-privileges"]);
        assert!(security.unmasked);
    }

    #[test]
    fn bad() {
        assert_eq!(parse(["x"].into_iter()).unwrap_err(), "Invalid --security-opt: \"x\"");
        assert_eq!(
            parse(["seccomp=/nope"].into_iter()).unwrap_err(),
            "opening seccomp profile (/nope) failed: open /nope: no such file or directory"
        );
        assert!(storage_options(["size"].into_iter()).is_err());
        assert!(log_options("none", ["a=b"].into_iter()).is_err());
    }
}
