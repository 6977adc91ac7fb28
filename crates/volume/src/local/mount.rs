//! `type`, `device` and `o` of a `local` volume, as mount(8) understands them.

use std::{
    net::{IpAddr, ToSocketAddrs as _},
    path::Path,
};

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
        if let Some(server) = server(kind, &data) {
            check_server(server).map_err(refuse)?;
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
            let data = self.resolved().map_err(|source| self.failed(path, source))?;
            let data = std::ffi::CString::new(data).unwrap_or_default();
            mount(&self.device, path, self.kind.as_str(), self.flags, data.as_c_str())
        };
        outcome.map_err(|errno| self.failed(path, errno.into()))
    }

    fn failed(&self, path: &Path, source: std::io::Error) -> Error {
        Error::Mount { path: path.to_owned(), device: self.device.clone(), source }
    }

    /// The options with the server's address in place of its name: the kernel resolves none.
    fn resolved(&self) -> std::io::Result<String> {
        let Some(name) = server(&self.kind, &self.data).filter(|name| name.parse::<IpAddr>().is_err()) else {
            return Ok(self.data.clone());
        };
        let absent = || std::io::Error::other(format!("there is no host {name}"));
        let found: Vec<_> = (name, 0).to_socket_addrs().map_err(|_| absent())?.collect();
        // As Docker: what has both kinds of addresses is reached over IPv4.
        let first = found.iter().find(|found| found.is_ipv4()).or(found.first()).ok_or_else(absent)?;
        let options = self.data.split(',').map(|option| match option.strip_prefix("addr=") {
            Some(_) => format!("addr={}", first.ip()),
            None => option.to_owned(),
        });
        Ok(options.collect::<Vec<_>>().join(","))
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

/// The server that the options of a network's file system name.
fn server<'a>(kind: &str, data: &'a str) -> Option<&'a str> {
    let is_remote = kind.starts_with("nfs") || kind == "cifs";
    data.split(',').find_map(|option| option.strip_prefix("addr=")).filter(|_| is_remote)
}

/// A server is an address or a host's name.
fn check_server(server: &str) -> std::result::Result<(), String> {
    let is_label = |label: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.len() < 64 && !label.starts_with('-') && label.bytes().all(is_part)
    };
    let is_name = server.len() < 254 && server.trim_end_matches('.').split('.').all(is_label);
    if is_name || server.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(format!("invalid option \"o\": addr={server} is neither an IP address nor a host's name"))
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

    fn nfs(options: &str) -> Result<Request> {
        let pairs = [("type", "nfs"), ("device", ":/export"), ("o", options)];
        let options = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Request::read(Location { name: "v", options: &options }).map(|request| request.expect("a file system"))
    }

    #[test]
    fn a_mount_of_nfs_names_its_server_by_address() {
        let plain = nfs("addr=192.0.2.7,rw,nfsvers=4,noatime").unwrap();
        assert_eq!((plain.kind.as_str(), plain.device.as_str(), plain.bind), ("nfs", ":/export", false));
        assert_eq!(plain.flags, MountFlags::NOATIME);
        assert_eq!(plain.resolved().unwrap(), "addr=192.0.2.7,nfsvers=4");
        assert_eq!(nfs("nfsvers=4,addr=localhost").unwrap().resolved().unwrap(), "nfsvers=4,addr=127.0.0.1");
        // A name that no resolver is asked for.
        let absent = Request { data: "addr=a..b".to_owned(), ..plain };
        let error = absent.mount(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.contains("there is no host a..b"), "{error}");
    }

    #[test]
    fn servers_that_nfs_cannot_have_are_refused() {
        for server in ["", "no address", "../x", "a..b", "-x", "[::1]", "1.2.3.4/24"] {
            assert!(nfs(&format!("addr={server}")).is_err(), "{server:?}");
        }
        nfs("addr=fd00::7").unwrap();
    }
}
