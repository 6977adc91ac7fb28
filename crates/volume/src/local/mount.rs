//! `type`, `device` and `o` of a `local` volume, as mount(8) understands them.

use std::path::Path;

use rustix::{
    fs::{AtFlags, CWD, StatxAttributes, StatxFlags},
    mount::{MountFlags, mount, mount_bind_recursive, mount_remount},
};

use super::options::is_own;
use crate::{Error, Location, Result};

/// A file system to mount.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    kind: String,
    device: String,
    flags: MountFlags,
    data: String,
    bind: bool,
}

impl Request {
    /// The file system that the options ask for; `None` when the volume is a plain directory.
    pub fn read(volume: Location<'_>) -> Result<Option<Self>> {
        let refuse = |reason: String| Error::InvalidOption { name: volume.name.to_owned(), reason };
        let is_known = |key: &str| matches!(key, "type" | "device" | "o") || is_own(key);
        if let Some(unknown) = volume.options.keys().find(|key| !is_known(key)) {
            return Err(refuse(format!("invalid option: \"{unknown}\"")));
        }
        let get = |key: &str| volume.options.get(key).map(String::as_str).unwrap_or_default();
        let (kind, device) = (get("type"), get("device"));
        let binds = get("o").split(',').any(|option| matches!(option.trim(), "bind" | "rbind"));
        if kind.is_empty() && device.is_empty() && !binds {
            return Ok(None);
        }
        if let Some(own) = volume.options.keys().find(|key| is_own(key)) {
            return Err(refuse(format!(
                "invalid option: \"{own}\" is of volumes that mount nothing; a file system takes its own in \"o\""
            )));
        }
        if device.is_empty() {
            return Err(refuse("missing required option: \"device\"".to_owned()));
        }
        let (flags, data, bind) = split(get("o"));
        if kind.is_empty() && !bind {
            return Err(refuse("missing required option: \"type\"".to_owned()));
        }
        if !kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
            || kind.contains("..")
        {
            return Err(refuse(format!("invalid option \"type\": {kind:?} is no file system type")));
        }
        if bind && !device.starts_with('/') {
            return Err(refuse(format!(
                "invalid option \"device\": {device:?} must be an absolute path for a bind mount"
            )));
        }
        if kind.starts_with("nfs") || kind == "cifs" {
            check_address(&data).map_err(refuse)?;
        }
        Ok(Some(Self { kind: kind.to_owned(), device: device.to_owned(), flags, data, bind }))
    }

    /// Mounts it on `path`.
    pub fn mount(&self, path: &Path) -> Result<()> {
        let outcome = if self.bind {
            mount_bind_recursive(&self.device, path).and_then(|()| {
                if self.flags.is_empty() {
                    return Ok(());
                }
                mount_remount(path, self.flags | MountFlags::BIND, c"").inspect_err(|_| {
                    let _ = berth_sys::mount::detach(path);
                })
            })
        } else {
            let data = std::ffi::CString::new(self.data.as_str()).unwrap_or_default();
            mount(&self.device, path, self.kind.as_str(), self.flags, data.as_c_str())
        };
        outcome.map_err(|errno| Error::Mount {
            path: path.to_owned(),
            device: self.device.clone(),
            source: errno.into(),
        })
    }
}

/// Flags the kernel takes as bits, the rest of the options, and whether `bind` is among them.
fn split(options: &str) -> (MountFlags, String, bool) {
    let mut flags = MountFlags::empty();
    let (mut rest, mut bind) = (Vec::new(), false);
    for option in options.split(',').map(str::trim).filter(|option| !option.is_empty()) {
        match option {
            "bind" | "rbind" => bind = true,
            "ro" => flags |= MountFlags::RDONLY,
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "sync" => flags |= MountFlags::SYNCHRONOUS,
            "rw" | "suid" | "dev" | "exec" | "atime" | "async" | "defaults" => {}
            other => rest.push(other),
        }
    }
    (flags, rest.join(","), bind)
}

/// The kernel resolves no names: `addr` must be an address.
fn check_address(data: &str) -> std::result::Result<(), String> {
    let address = data.split(',').find_map(|option| option.strip_prefix("addr="));
    match address {
        Some(address) if address.parse::<std::net::IpAddr>().is_err() => {
            Err(format!("invalid option \"o\": addr={address} must be an IP address"))
        }
        _ => Ok(()),
    }
}

/// Whether something is mounted on exactly this path (statx(2), `STATX_ATTR_MOUNT_ROOT`).
pub(super) fn is_mounted(path: &Path) -> bool {
    rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_split_into_bits_and_text() {
        let (flags, data, bind) = split("ro,nosuid, size=10m,rw,uid=3,bind");
        assert_eq!(flags, MountFlags::RDONLY | MountFlags::NOSUID);
        assert_eq!((data.as_str(), bind), ("size=10m,uid=3", true));
    }
}
