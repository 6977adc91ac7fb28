//! Devices where nobody may make nodes: below the machine's own user namespace each is a bind mount of the host's node.

use std::path::{Path, PathBuf};

use berth_sys::user_namespace;
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType};
use rustix::fs::FileType;

use super::option::Options;
use crate::device::DEFAULT;
use crate::error::{Error, Result};
use crate::plan::{Kind, Planned};

/// The mounts, and after each `/dev` of the engine's own those of its devices. Nothing changes for the machine's root.
pub(crate) fn beside(mounts: Vec<Planned>, linux: &Linux) -> Result<Vec<Planned>> {
    if !user_namespace::is_nested() {
        return Ok(mounts);
    }
    let mut all = Vec::with_capacity(mounts.len() + DEFAULT.len());
    for mount in mounts {
        let is_devices = mount.kind == Kind::Devices;
        all.push(mount);
        if is_devices {
            all.extend(DEFAULT.iter().map(|(name, ..)| bind(&Path::new("/dev").join(name), None)));
            let devices = linux.devices().iter().flatten();
            let named = devices
                .filter(|device| DEFAULT.iter().all(|(name, ..)| device.path() != &Path::new("/dev").join(name)));
            let named: Vec<Planned> = named.map(node).collect::<Result<_>>()?;
            all.extend(named);
        }
    }
    Ok(all)
}

/// The host's node that is this device.
fn node(device: &LinuxDevice) -> Result<Planned> {
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        _ => FileType::CharacterDevice,
    };
    let number = rustix::fs::makedev(device.major() as u32, device.minor() as u32);
    let is_it = |path: &PathBuf| {
        // PATH: the host's own /dev.
        rustix::fs::stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == kind && stat.st_rdev == number)
    };
    let of_kind = if kind == FileType::BlockDevice { "block" } else { "char" };
    let by_number = PathBuf::from(format!("/dev/{of_kind}/{}:{}", device.major(), device.minor()));
    let found = [device.path().clone(), by_number].into_iter().find(is_it);
    let source = found.ok_or_else(|| Error::InvalidSpec {
        field: "linux.devices",
        reason: format!(
            "{} cannot be made without root, and the host has no such node at this path",
            device.path().display()
        ),
    })?;
    Ok(bind(device.path(), Some(source)))
}

fn bind(destination: &Path, source: Option<PathBuf>) -> Planned {
    let source = source.unwrap_or_else(|| destination.to_owned());
    Planned {
        destination: destination.to_owned(),
        source: source.display().to_string(),
        kind: Kind::Bind(source),
        options: Options { bind: Some(false), without_id_map: true, ..Options::default() },
        maps: None,
        subpath: None,
    }
}
