//! Devices of the host that are passed through by VFIO (Documentation/driver-api/vfio.rst): whether it can be, and if
//! not, what to change.
//!
//! The IOMMU keeps groups of devices apart, not single ones: all of a group go to the machine, or to no driver.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// The driver that hands a device out.
const DRIVER: &str = "vfio-pci";

/// What a monitor needs to have the devices of a machine.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Nodes below `/dev`: path, major, minor.
    pub nodes: Vec<(String, u32, u32)>,
}

/// Checks the form of an address: `DOMAIN:BUS:SLOT.FUNCTION`, in hexadecimal.
///
/// # Errors
/// [`Error::Invalid`].
pub fn parse(address: &str) -> Result<()> {
    let form = b"xxxx:xx:xx.x";
    let fits = address.len() == form.len()
        && address.bytes().zip(form).all(|(byte, form)| match form {
            b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            other => byte == *other,
        });
    if fits {
        return Ok(());
    }
    let shown: String = address.chars().take(40).collect();
    Err(Error::invalid(format!("{shown:?} is no PCI address: it looks like 0000:01:00.0 (see lspci -D)")))
}

/// The host's tables.
#[derive(Debug, Clone)]
pub struct Host {
    sys: PathBuf,
    dev: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self { sys: "/sys".into(), dev: "/dev".into() }
    }
}

impl Host {
    /// What is needed to pass `addresses` through.
    ///
    /// # Errors
    /// [`Error::Host`] with what hinders it, and what to do.
    pub fn pass(&self, addresses: &[String]) -> Result<Passed> {
        let mut passed = Passed::default();
        for address in addresses {
            parse(address)?;
            let group = self.group(address)?;
            self.check_group(address, &group, addresses)?;
            let node = self.node(&format!("vfio/{group}"))?;
            if !passed.nodes.contains(&node) {
                passed.nodes.push(node);
            }
        }
        if !addresses.is_empty() {
            passed.nodes.push(self.node("vfio/vfio")?);
        }
        Ok(passed)
    }

    fn group(&self, address: &str) -> Result<String> {
        let device = self.sys.join("bus/pci/devices").join(address);
        if !device.exists() {
            return Err(Error::Host(format!("this host has no PCI device {address} (see lspci -D)")));
        }
        let group = fs::read_link(device.join("iommu_group")).ok();
        let name = group.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        name.map(str::to_owned).ok_or_else(|| {
            Error::Host(format!(
                "{address} cannot be passed through: this host has no IOMMU group for it; switch on VT-d or AMD-Vi in the \
                 firmware, and boot with intel_iommu=on (berth vm doctor tells what is there)"
            ))
        })
    }

    /// Every device of a group is handed out with it, unless it is a bridge, or has no driver.
    fn check_group(&self, address: &str, group: &str, wanted: &[String]) -> Result<()> {
        let members = self.sys.join("kernel/iommu_groups").join(group).join("devices");
        let entries = fs::read_dir(&members).map_err(Error::file("read", &members))?;
        let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        for name in names {
            let device = self.sys.join("bus/pci/devices").join(&name);
            let class = fs::read_to_string(device.join("class")).unwrap_or_default();
            // Class 06 04: a bridge, which stays with the host.
            if class.trim_start_matches("0x").starts_with("0604") {
                continue;
            }
            let driver = fs::read_link(device.join("driver")).ok();
            let driver = driver.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
            match driver.as_deref() {
                Some(DRIVER) => {}
                None if !wanted.contains(&name) => {}
                other => {
                    let holder = other.map_or("no driver".to_owned(), |driver| format!("the driver {driver}"));
                    let whose =
                        if name == address { String::new() } else { format!(" (in the same IOMMU group {group})") };
                    return Err(Error::Host(format!(
                        "{address} cannot be passed through: {name}{whose} is with {holder}; give it to {DRIVER}: \
                         modprobe {DRIVER}; echo {DRIVER} > /sys/bus/pci/devices/{name}/driver_override; \
                         echo {name} > /sys/bus/pci/devices/{name}/driver/unbind; echo {name} > /sys/bus/pci/drivers_probe"
                    )));
                }
            }
        }
        Ok(())
    }

    fn node(&self, name: &str) -> Result<(String, u32, u32)> {
        let path = self.dev.join(name);
        match fs::metadata(&path) {
            Ok(facts) if facts.file_type().is_char_device() => {
                let number = facts.rdev();
                Ok((format!("/dev/{name}"), rustix::fs::major(number), rustix::fs::minor(number)))
            }
            _ => Err(Error::Host(format!("{} is missing: modprobe {DRIVER}", path.display()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A host with one group of two devices, of which the second has `driver`.
    fn host(root: &Path, driver: Option<&str>) -> Host {
        let host = Host { sys: root.join("sys"), dev: root.join("dev") };
        let members = host.sys.join("kernel/iommu_groups/7/devices");
        fs::create_dir_all(&members).expect("mkdir");
        for (name, driver, class) in [
            ("0000:01:00.0", Some(DRIVER), "0x030000"),
            ("0000:01:00.1", driver, "0x040300"),
            ("0000:00:01.0", Some("pcieport"), "0x060400"),
        ] {
            let device = host.sys.join("bus/pci/devices").join(name);
            fs::create_dir_all(&device).expect("mkdir");
            fs::write(device.join("class"), class).expect("write");
            symlink("/sys/kernel/iommu_groups/7", device.join("iommu_group")).expect("link");
            if let Some(driver) = driver {
                symlink(format!("/sys/bus/pci/drivers/{driver}"), device.join("driver")).expect("link");
            }
            fs::write(members.join(name), "").expect("write");
        }
        host
    }

    #[test]
    fn each_hindrance_is_named_with_what_to_do() {
        let wanted = vec!["0000:01:00.0".to_owned()];
        let said = |driver| {
            let dir = tempfile::tempdir().expect("tempdir");
            host(dir.path(), driver).pass(&wanted).expect_err("it cannot").to_string()
        };
        let text = said(Some("snd_hda_intel"));
        assert!(text.contains("0000:01:00.1 (in the same IOMMU group 7)") && text.contains("snd_hda_intel"), "{text}");
        assert!(said(None).contains("dev/vfio/7 is missing: modprobe"), "a neighbour without a driver is no hindrance");
        let dir = tempfile::tempdir().expect("tempdir");
        let host = host(dir.path(), None);
        let nothing = host.pass(&["0000:02:00.0".to_owned()]).expect_err("no device").to_string();
        assert!(nothing.contains("no PCI device 0000:02:00.0"), "{nothing}");
        fs::remove_file(dir.path().join("sys/bus/pci/devices/0000:01:00.0/iommu_group")).expect("remove");
        assert!(host.pass(&wanted).expect_err("no group").to_string().contains("VT-d"));
        assert_eq!(host.pass(&[]).expect("nothing wanted"), Passed::default());
    }

    #[test]
    fn addresses() {
        assert!(parse("0000:01:00.0").is_ok() && parse("abcd:ef:1f.7").is_ok());
        for bad in ["", "01:00.0", "0000:01:00.0/..", "0000:01:00,0", "../../../..x", "0000:0G:00.0", "0000:01:00.0\n"]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
