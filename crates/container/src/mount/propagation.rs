//! Whether mount events can travel between a bind mount's source and the container, as `rshared` and `rslave` ask.

use std::path::Path;

use crate::{Error, Result};

/// Refuses a propagation that the mount under `source` cannot give.
///
/// # Errors
/// [`Error::Invalid`] with Docker's text.
pub fn check(source: &Path, propagation: &str) -> Result<()> {
    if !matches!(propagation, "shared" | "rshared" | "slave" | "rslave") {
        return Ok(());
    }
    let table = Path::new("/proc/self/mountinfo");
    let text = std::fs::read_to_string(table).map_err(|error| Error::file("read", table, error))?;
    // PATH: the host's folder, named by the user of the API; only its mount is looked at.
    let resolved = source.canonicalize().map_err(|error| Error::file("resolve", source, error))?;
    refusal(&text, &resolved, propagation).map_or(Ok(()), |text| Err(Error::Invalid(text)))
}

/// Why the mount that holds `source` cannot be shared so; `mountinfo` as proc_pid_mountinfo(5).
fn refusal(mountinfo: &str, source: &Path, propagation: &str) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let fields = line.split(' ').collect::<Vec<_>>();
        let point = unescape(fields.get(4)?);
        let tags: Vec<String> = fields.iter().skip(6).take_while(|tag| **tag != "-").map(ToString::to_string).collect();
        source.starts_with(&point).then_some((point, tags))
    });
    // The last of the longest is the one on top.
    let (point, tags) = mounts.max_by_key(|(point, _)| point.len())?;
    let has = |tag: &str| tags.iter().any(|known| known.starts_with(tag));
    let path = source.display();
    match propagation {
        "shared" | "rshared" if !has("shared:") => {
            Some(format!("path {path} is mounted on {point} but it is not a shared mount"))
        }
        "slave" | "rslave" if !has("shared:") && !has("master:") => {
            Some(format!("path {path} is mounted on {point} but it is not a shared or slave mount"))
        }
        _ => None,
    }
}

/// Undoes the octal escapes of blanks.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "1 0 8:1 / / rw - ext4 /dev/a rw\n\
                         2 1 0:5 / /mnt/a\\040b rw shared:7 - tmpfs x rw\n\
                         3 1 0:6 / /srv rw master:7 - tmpfs x rw\n";

    #[test]
    fn the_mount_that_holds_the_source_decides() {
        let refused = |source: &str, propagation| refusal(TABLE, Path::new(source), propagation);
        assert_eq!(
            refused("/home/x", "rshared").as_deref(),
            Some("path /home/x is mounted on / but it is not a shared mount")
        );
        assert!(refused("/mnt/a b/c", "rshared").is_none() && refused("/mnt/a b", "rslave").is_none());
        assert!(refused("/srv/x", "rslave").is_none() && refused("/srv/x", "shared").is_some());
        assert!(refused("/srvx", "slave").is_some());
        assert!(refused("/home", "rprivate").is_none());
    }
}
