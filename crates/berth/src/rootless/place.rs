//! Where an engine without root has its things (XDG Base Directory Specification).

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

/// What takes the place of `/var/lib/berth`, `/run/berth` and `/etc/berth/daemon.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    pub data: PathBuf,
    pub exec: PathBuf,
    pub config: PathBuf,
}

/// From the environment, which a daemon that executes itself again keeps.
///
/// # Errors
/// A variable without which there is no such place.
pub fn roots() -> Result<Roots> {
    from(|name| std::env::var(name).ok())
}

fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Roots> {
    let absolute = |name: &str| variable(name).filter(|path| path.starts_with('/')).map(PathBuf::from);
    let home = |name: &str, below: &str| {
        let home = absolute("HOME").map(|home| home.join(below));
        absolute(name).or(home).ok_or_else(|| anyhow!("without root, berth needs HOME or {name}"))
    };
    let runtime = absolute("XDG_RUNTIME_DIR").ok_or_else(|| {
        anyhow!("without root, berth needs XDG_RUNTIME_DIR: a directory of the user's own, such as /run/user/1000")
    })?;
    Ok(Roots {
        data: home("XDG_DATA_HOME", ".local/share")?.join("berth"),
        exec: runtime.join("berth"),
        config: home("XDG_CONFIG_HOME", ".config")?.join("berth/daemon.json"),
    })
}

/// The holder's directory.
pub fn dir(exec_root: &Path) -> PathBuf {
    exec_root.join("rootless")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_environment() {
        let with = |pairs: &'static [(&'static str, &'static str)]| {
            from(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        let roots = with(&[("HOME", "/home/a"), ("XDG_RUNTIME_DIR", "/run/user/7")]).unwrap();
        assert_eq!(roots.data, Path::new("/home/a/.local/share/berth"));
        assert_eq!(roots.exec, Path::new("/run/user/7/berth"));
        assert_eq!(roots.config, Path::new("/home/a/.config/berth/daemon.json"));
        assert!(with(&[("HOME", "/home/a")]).unwrap_err().to_string().contains("XDG_RUNTIME_DIR"));
        assert!(with(&[("HOME", "a"), ("XDG_RUNTIME_DIR", "/run")]).unwrap_err().to_string().contains("HOME"));
    }
}
