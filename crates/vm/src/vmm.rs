//! The engine's own monitor: its configuration from a plan (see `berth_vmm::config`).
//!
//! All paths are those of the jail (see [`crate::jail`]).

use std::path::{Path, PathBuf};

use berth_vmm::{
    config::{Config, Disk, Entry, Nic, Port, Rate},
    layout,
};

use crate::{
    Error, Result,
    guest::{PORT, ROOT_SERIAL, UPPER_SERIAL},
    jail::{AGENT, IMAGE, INITRAMFS, KERNEL, UPPER},
    plan::{Plan, placeholder_mac, tap_name},
};

/// The most processors of a machine.
pub const VCPUS_MAX: u32 = layout::VCPUS_MAX;
/// The most network devices, beside two disks, the console, entropy and the balloon.
pub const NICS_MAX: usize = layout::VIRTIO_MAX - 5;

/// The file's name in a bundle.
const FILE: &str = "vmm.json";
/// The reset is the keyboard controller's, the only one that needs no tables; there is no PCI to look for.
const COMMAND_LINE: &str = "console=ttyS0 quiet loglevel=3 panic=-1 reboot=k pci=off rdinit=/init random.trust_cpu=on \
                            no_timer_check audit=0 mitigations=auto cryptomgr.notests -- guest";

/// The configuration of a plan's machine.
#[must_use]
pub fn config(plan: &Plan) -> Config {
    let disk = |path: &str, serial: &str| Disk {
        path: PathBuf::from(path),
        read_only: false,
        serial: serial.to_owned(),
        volatile: false,
        rate: Rate::default(),
    };
    let root = Disk { read_only: true, ..disk(IMAGE, ROOT_SERIAL) };
    let upper = plan.disk.as_ref().map(|_| Disk { volatile: plan.volatile, ..disk(UPPER, UPPER_SERIAL) });
    let nic = |index| Nic {
        tap: tap_name(index),
        mac: placeholder_mac(index),
        receive: Rate::default(),
        send: Rate::default(),
    };
    Config {
        kernel: PathBuf::from(KERNEL),
        initramfs: Some(PathBuf::from(INITRAMFS)),
        command_line: COMMAND_LINE.to_owned(),
        entry: Entry::Auto,
        memory_bytes: plan.memory_bytes,
        vcpus: plan.vcpus,
        disks: std::iter::once(root).chain(upper).collect(),
        nics: (0..plan.nics as usize).map(nic).collect(),
        ports: vec![Port { name: PORT.to_owned(), socket: PathBuf::from(AGENT) }],
        entropy: true,
        balloon: true,
        control: None,
        snapshots: None,
        jail: true,
        restore: None,
    }
}

/// Writes it into the directory of a bundle; where.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn write(dir: &Path, plan: &Plan) -> Result<PathBuf> {
    let path = dir.join(FILE);
    let text = serde_json::to_vec(&config(plan)).map_err(|source| Error::Record { path: path.clone(), source })?;
    crate::kernel::replace(&path, &text)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        jail::{CONFIG, ENGINE},
        kernel::Boot,
        message::Upper,
        monitor,
        plan::Backend,
        qemu::Machine,
    };

    fn plan() -> Plan {
        Plan {
            version: Plan::VERSION,
            backend: Backend::BerthKvm,
            why: String::new(),
            program: PathBuf::from(ENGINE),
            boot: Boot {
                kernel: PathBuf::from("/kept/vmlinux"),
                initramfs: PathBuf::from("/kept/cpio"),
                agent: PathBuf::from("/kept/program"),
                digest: String::new(),
            },
            memory_bytes: 1 << 30,
            vcpus: 3,
            image: PathBuf::from("/kept/image"),
            upper: Upper::Disk,
            disk: Some(PathBuf::from("/kept/upper.img")),
            disk_bytes: 10 << 30,
            volatile: true,
            nics: 2,
            ids: (100_000, 65_536),
            cgroup: "/berth/one".to_owned(),
            resources: oci_spec::runtime::LinuxResources::default(),
            files: PathBuf::from("/kept"),
            host_name: String::new(),
            sysctls: Vec::new(),
            init: false,
            groups: Vec::new(),
            template: None,
        }
    }

    #[test]
    fn what_is_written_is_what_the_monitor_understands() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = write(dir.path(), &plan()).expect("written");
        let config = Config::read(&path).expect("understood");
        assert_eq!((config.memory_bytes, config.vcpus, config.jail), (1 << 30, 3, true));
        assert!(config.command_line.contains(" reboot=k pci=off ") && config.command_line.ends_with(" -- guest"));
        let disks: Vec<_> =
            config.disks.iter().map(|disk| (disk.path.to_str(), disk.read_only, disk.volatile)).collect();
        assert_eq!(disks, [(Some("/vm/root.img"), true, false), (Some("/vm/upper.img"), false, true)]);
        let serials: Vec<_> = config.disks.iter().map(|disk| disk.serial.as_str()).collect();
        assert_eq!(serials, [ROOT_SERIAL, UPPER_SERIAL]);
        let nics: Vec<_> = config.nics.iter().map(|nic| (nic.tap.as_str(), nic.mac[5])).collect();
        assert_eq!(nics, [("tap0", 0), ("tap1", 1)]);
        assert_eq!(
            (config.ports[0].name.as_str(), config.ports[0].socket.to_str()),
            (PORT, Some("/vm/run/agent.sock"))
        );
        let bare = Plan { disk: None, nics: 0, ..plan() };
        assert_eq!((super::config(&bare).disks.len(), super::config(&bare).nics.len()), (1, 0));
    }

    #[test]
    fn as_many_devices_as_are_promised_fit() {
        let dir = tempfile::tempdir().expect("tempdir");
        let most = |nics: usize, vcpus| Plan { nics: u32::try_from(nics).expect("few"), vcpus, ..plan() };
        let read = |plan: &Plan| Config::read(&write(dir.path(), plan).expect("written"));
        assert!(read(&most(NICS_MAX, VCPUS_MAX)).is_ok());
        assert!(read(&most(NICS_MAX + 1, 1)).is_err());
        assert!(read(&most(1, VCPUS_MAX + 1)).is_err());
    }

    #[test]
    fn the_jail_starts_it_with_its_files_and_never_for_what_it_cannot_do() {
        let dir = tempfile::tempdir().expect("tempdir");
        let command = |machine, share| monitor::command(dir.path(), &plan(), machine, share, 0);
        let made = command(Machine::Cold, false).expect("a command");
        assert_eq!(made.arguments, [ENGINE, "vmm", "--config", CONFIG]);
        assert_eq!(made.files, [(CONFIG, dir.path().join(FILE)), (ENGINE, PathBuf::from("/kept/program"))]);
        assert!(command(Machine::Cold, true).is_err());
        assert!(command(Machine::Template, false).is_err());
        assert!(command(Machine::Restored, false).is_err());
        let qemu = Plan { backend: Backend::QemuKvm, program: PathBuf::from("/usr/bin/qemu"), ..plan() };
        let made = monitor::command(dir.path(), &qemu, Machine::Template, true, 0).expect("a command");
        assert_eq!((made.arguments[0].as_str(), made.files.len()), ("/usr/bin/qemu", 0));
        assert!(made.arguments.iter().any(|word| word.ends_with("mac=52:54:00:00:00:01")), "{:?}", made.arguments);
    }
}
