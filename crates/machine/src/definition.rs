//! A definition read, checked and written: whatever it says is checked here, before anything is made of it.

use std::{collections::BTreeSet, path::Path};

use berth_kit::id;
use berth_network::{PortMapping, Protocol};
use sha2::{Digest as _, Sha256};

use crate::{
    Error, Result,
    identity::{is_uuid, mac, parse_mac, uuid},
    pci,
    record::{BootDevice, Bus, Definition, Device, Disk, Nic, VERSION},
};

/// A definition is at most so long, in bytes, with what it gives to cloud-init.
pub const DEFINITION_BYTES_MAX: usize = 2 << 20;
/// A name is a host's name, too (RFC 1123).
const NAME_BYTES_MAX: usize = 63;
const VCPUS_MAX: u32 = 255;
const MEMORY_BYTES_MIN: u64 = 16 << 20;
const MEMORY_BYTES_MAX: u64 = 16 << 40;
const BALLOON_BYTES_MIN: u64 = 16 << 20;
/// Each device takes a slot of the machine's PCI bus, which has 32, and some are the board's own.
const DISKS_MAX: usize = 12;
const NETWORKS_MAX: usize = 8;
const PCI_MAX: usize = 4;
/// Ports of the AHCI controller.
const SATA_MAX: usize = 6;
const COMMAND_LINE_BYTES_MAX: usize = 2047;
const SEED_BYTES_MAX: usize = 1 << 20;

/// Whether a text can be the name of a machine, snapshot, disk or file of a machine's own.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= NAME_BYTES_MAX
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Refuses what is no name.
///
/// # Errors
/// [`Error::Invalid`].
pub fn check_name(what: &str, name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(Error::invalid(format!(
        "{shown:?} is no name for a {what}: up to {NAME_BYTES_MAX} letters, digits, '_', '.', '-', the first a letter or digit"
    )))
}

impl Definition {
    /// Reads a document; fills in nothing, checks everything.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the line that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > DEFINITION_BYTES_MAX {
            return Err(Error::invalid(format!("the definition is longer than {DEFINITION_BYTES_MAX} bytes")));
        }
        let definition: Self = toml::from_str(text).map_err(|error| {
            Error::invalid(format!("the definition is not understood: {}", error.to_string().trim()))
        })?;
        definition.check()?;
        Ok(definition)
    }

    /// The document.
    ///
    /// # Errors
    /// [`Error::Invalid`], which would be a defect here.
    pub fn text(&self) -> Result<String> {
        let text = toml::to_string_pretty(self)
            .map_err(|error| Error::invalid(format!("the definition cannot be written: {error}")))?;
        Ok(format!("# A machine of berth. Change it with: berth vm edit {}\n{text}", self.name))
    }

    /// What networks and control groups know the machine by: 64 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        id::hex(&Sha256::digest(&self.uuid))
    }

    /// Gives it an identity of its own: uuid and hardware addresses, those that are missing or (`anew`) all.
    pub fn identify(&mut self, anew: bool) {
        if anew || self.uuid.is_empty() {
            self.uuid = uuid();
        }
        for nic in &mut self.networks {
            if anew || nic.mac.is_empty() {
                nic.mac = mac();
            }
        }
    }

    /// Checks everything that can be checked without the host.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field, and what it may be.
    pub fn check(&self) -> Result<()> {
        if self.version != VERSION {
            return Err(Error::invalid(format!(
                "version {} of a definition is not known, only {VERSION}",
                self.version
            )));
        }
        check_name("machine", &self.name)?;
        if !self.uuid.is_empty() && !is_uuid(&self.uuid) {
            return Err(Error::invalid(format!("uuid {:?} is none", cut(&self.uuid))));
        }
        if !(1..=VCPUS_MAX).contains(&self.vcpus) {
            return Err(Error::invalid(format!("vcpus is {}, which is not 1 to {VCPUS_MAX}", self.vcpus)));
        }
        check_memory(self.memory_bytes, self.balloon_bytes)?;
        check_cpu(&self.cpu)?;
        self.check_boot()?;
        self.check_disks()?;
        self.check_networks()?;
        self.check_seed()?;
        if self.pci.len() > PCI_MAX {
            return Err(Error::invalid(format!("a machine takes at most {PCI_MAX} devices of the host")));
        }
        let mut seen = BTreeSet::new();
        for address in &self.pci {
            pci::parse(address)?;
            if !seen.insert(address) {
                return Err(Error::invalid(format!("the device {address} is named twice")));
            }
        }
        Ok(())
    }

    fn check_boot(&self) -> Result<()> {
        let boot = &self.boot;
        for source in [&boot.kernel, &boot.initramfs].into_iter().flatten() {
            check_source(source)?;
        }
        if boot.kernel.is_none() && (boot.initramfs.is_some() || !boot.command_line.is_empty()) {
            return Err(Error::invalid("boot.initramfs and boot.command_line need boot.kernel"));
        }
        if boot.command_line.len() > COMMAND_LINE_BYTES_MAX
            || boot.command_line.contains(|sign: char| sign.is_control())
        {
            return Err(Error::invalid(format!(
                "boot.command_line is one line of at most {COMMAND_LINE_BYTES_MAX} bytes"
            )));
        }
        let mut seen = Vec::new();
        for device in &boot.order {
            if seen.contains(device) {
                return Err(Error::invalid("boot.order names a device twice"));
            }
            seen.push(*device);
            let present = match device {
                BootDevice::Disk => self.disks.iter().any(|disk| disk.device == Device::Disk),
                BootDevice::Cdrom => self.disks.iter().any(|disk| disk.device == Device::Cdrom),
                BootDevice::Network => !self.networks.is_empty(),
            };
            if !present {
                return Err(Error::invalid(format!("boot.order names {device:?}, which the machine does not have")));
            }
        }
        Ok(())
    }

    fn check_disks(&self) -> Result<()> {
        if self.disks.len() > DISKS_MAX {
            return Err(Error::invalid(format!("a machine takes at most {DISKS_MAX} disks and CD-ROMs")));
        }
        let (mut names, mut sources) = (BTreeSet::new(), BTreeSet::new());
        for disk in &self.disks {
            check_name("disk", &disk.name)?;
            // The guest sees it as the serial number, which has 20 bytes.
            if disk.name.len() > 20 {
                return Err(Error::invalid(format!("the disk's name {} is longer than 20 bytes", disk.name)));
            }
            check_source(&disk.source)?;
            if !names.insert(&disk.name) {
                return Err(Error::invalid(format!("two disks are called {}", disk.name)));
            }
            if !sources.insert(&disk.source) && !disk.is_read_only() {
                return Err(Error::invalid(format!("two disks are in {}", disk.source)));
            }
        }
        let sata = self.disks.iter().filter(|disk| disk.is_sata()).count();
        if sata > SATA_MAX {
            return Err(Error::invalid(format!("at most {SATA_MAX} CD-ROMs and sata disks fit into a machine")));
        }
        Ok(())
    }

    fn check_networks(&self) -> Result<()> {
        if self.networks.len() > NETWORKS_MAX {
            return Err(Error::invalid(format!("a machine takes at most {NETWORKS_MAX} network devices")));
        }
        let (mut macs, mut names) = (BTreeSet::new(), BTreeSet::new());
        for nic in &self.networks {
            if nic.user == nic.network.is_empty() {
                check_nic(nic)?;
            } else {
                return Err(Error::invalid(
                    "a network device has either `network = \"NAME\"` or `user = true`, and not both",
                ));
            }
            if !nic.mac.is_empty() && !macs.insert(nic.mac.to_ascii_lowercase()) {
                return Err(Error::invalid(format!("two network devices have the hardware address {}", nic.mac)));
            }
            if !nic.user && !names.insert(&nic.network) {
                return Err(Error::invalid(format!("two devices are on the network {}", nic.network)));
            }
        }
        let users = self.networks.iter().filter(|nic| nic.user).count();
        if users != 0 && users != self.networks.len() {
            return Err(Error::invalid(
                "networks in user mode leave by the host's own network, and cannot be mixed with networks of the engine",
            ));
        }
        Ok(())
    }

    fn check_seed(&self) -> Result<()> {
        let Some(seed) = &self.cloud_init else { return Ok(()) };
        let parts = [Some(&seed.user_data), seed.meta_data.as_ref(), seed.network_config.as_ref()];
        if parts.into_iter().flatten().map(String::len).sum::<usize>() > SEED_BYTES_MAX {
            return Err(Error::invalid(format!("cloud_init is longer than {SEED_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    /// Every file that it names: those of the machine's own, and those of the host.
    #[must_use]
    pub fn sources(&self) -> Vec<&str> {
        let boot = [&self.boot.kernel, &self.boot.initramfs].into_iter().flatten().map(String::as_str);
        boot.chain(self.disks.iter().map(|disk| disk.source.as_str())).collect()
    }

    /// As [`Self::sources`], to be changed.
    pub fn sources_mut(&mut self) -> Vec<&mut String> {
        let boot = [&mut self.boot.kernel, &mut self.boot.initramfs].into_iter().filter_map(Option::as_mut);
        boot.chain(self.disks.iter_mut().map(|disk| &mut disk.source)).collect()
    }

    /// Whether its networks leave by the host's own.
    #[must_use]
    pub fn is_user_mode(&self) -> bool {
        self.networks.iter().any(|nic| nic.user)
    }
}

impl Disk {
    /// Whether the guest only reads it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only || self.device == Device::Cdrom
    }

    /// Whether it is on the AHCI controller.
    #[must_use]
    pub fn is_sata(&self) -> bool {
        self.bus == Bus::Sata || self.device == Device::Cdrom
    }
}

/// Whether a source is a file of the machine's own.
#[must_use]
pub fn is_own(source: &str) -> bool {
    !source.starts_with('/')
}

fn check_source(source: &str) -> Result<()> {
    if is_own(source) {
        return check_name("file of a machine", source);
    }
    let path = Path::new(source);
    let plain =
        path.components().all(|part| matches!(part, std::path::Component::RootDir | std::path::Component::Normal(_)));
    // QEMU's options have commas and colons of their own; the jail hides the path from it, people see it in errors.
    if !plain || source.len() > 1024 || source.contains(|sign: char| sign.is_control()) {
        return Err(Error::invalid(format!("{:?} is no plain absolute path", cut(source))));
    }
    Ok(())
}

fn check_memory(memory: u64, balloon: Option<u64>) -> Result<()> {
    if !(MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX).contains(&memory) || !memory.is_multiple_of(1 << 20) {
        return Err(Error::invalid(format!(
            "memory_bytes is {memory}: whole MiB, from {} MiB on, are memory",
            MEMORY_BYTES_MIN >> 20
        )));
    }
    match balloon {
        Some(bytes) if !(BALLOON_BYTES_MIN..=memory).contains(&bytes) => Err(Error::invalid(format!(
            "balloon_bytes is {bytes}: what is left to the guest is at least {} MiB, and not more than its memory",
            BALLOON_BYTES_MIN >> 20
        ))),
        _ => Ok(()),
    }
}

fn check_cpu(cpu: &str) -> Result<()> {
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    let mut parts = cpu.split(',');
    let model = parts.next().is_some_and(word);
    let features = parts.all(|part| part.strip_prefix(['+', '-']).is_some_and(word));
    if model && features && cpu.len() <= 512 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "cpu {:?} is no model: host, max, or a name with features behind it, such as EPYC,+svm,-avx2",
        cut(cpu)
    )))
}

fn check_nic(nic: &Nic) -> Result<()> {
    if !nic.mac.is_empty() {
        parse_mac(&nic.mac)?;
    }
    if !nic.network.is_empty() && (nic.network.len() > 255 || nic.network.contains(|sign: char| sign.is_control())) {
        return Err(Error::invalid(format!("{:?} is no network's name", cut(&nic.network))));
    }
    if matches!(nic.network.as_str(), "host" | "none") {
        return Err(Error::invalid(format!(
            "a machine cannot be on the network {}: it has a network of its own; leave its networks empty for none",
            nic.network
        )));
    }
    if nic.user && nic.ipv4.is_some() {
        return Err(Error::invalid("a network in user mode has addresses of QEMU's own: leave ipv4 away"));
    }
    nic.ports.iter().try_for_each(|port| parse_port(port).map(drop))
}

/// `[ADDRESS:]PORT:PORT[/udp]`.
///
/// # Errors
/// [`Error::Invalid`].
pub fn parse_port(text: &str) -> Result<PortMapping> {
    let refuse =
        || Error::invalid(format!("{:?} is no published port: [ADDRESS:]PORT-OF-HOST:PORT-OF-GUEST[/udp]", cut(text)));
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol: Protocol = protocol.parse().map_err(|_| refuse())?;
    if protocol == Protocol::Sctp {
        return Err(refuse());
    }
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(refuse);
    let (rest, guest) = ports.rsplit_once(':').ok_or_else(refuse)?;
    let (address, host) = match rest.rsplit_once(':') {
        Some((address, host)) => {
            let address = address.trim_start_matches('[').trim_end_matches(']');
            (Some(address.parse().map_err(|_| refuse())?), host)
        }
        None => (None, rest),
    };
    let host = number(host)?;
    Ok(PortMapping { container_port: number(guest)?, protocol, host_ip: address, host_ports: Some(host..=host) })
}

/// The beginning of a text that may be anything.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Definition> {
        Definition::parse(&format!("name = \"one\"\n{text}"))
    }

    #[test]
    fn a_definition_comes_back_as_it_was() {
        let text = r##"
            vcpus = 2
            memory_bytes = 268435456
            cpu = "EPYC,+svm"
            autostart = true
            pci = ["0000:01:00.0"]
            [boot]
            order = ["cdrom", "disk"]
            [[disks]]
            name = "root"
            source = "root.raw"
            [[disks]]
            name = "cd"
            source = "/srv/an image, of: Linux.iso"
            device = "cdrom"
            [[networks]]
            network = "bridge"
            ports = ["127.0.0.1:2222:22", "[::1]:53:53/udp"]
            [cloud_init]
            user_data = "#cloud-config\n"
        "##;
        let mut definition = parse(text).expect("valid");
        definition.identify(false);
        definition.check().expect("valid with its identity");
        let written = definition.text().expect("text");
        assert!(written.starts_with("# A machine of berth."), "{written}");
        assert_eq!(Definition::parse(&written).expect("own text"), definition);
        let mut clone = definition.clone();
        clone.identify(true);
        assert!(clone.uuid != definition.uuid && clone.networks[0].mac != definition.networks[0].mac);
        assert_eq!((definition.id().len(), definition.sources().len()), (64, 2));
    }

    #[test]
    fn hostile_definitions_are_refused_by_name() {
        let table = [
            ("vcpus = 0", "vcpus"),
            ("vcpus = 100000", "vcpus"),
            ("memory_bytes = 1", "memory_bytes"),
            ("memory_bytes = 268435457", "memory_bytes"),
            ("memory_bytes = 268435456\nballoon_bytes = 1", "balloon_bytes"),
            ("memory_bytes = 268435456\nballoon_bytes = 536870912", "balloon_bytes"),
            ("version = 2", "version 2"),
            ("cpu = \"max,migratable=no\"", "cpu"),
            ("cpu = \"\"", "cpu"),
            ("uuid = \"x\"", "uuid"),
            ("nosuch = 1", "nosuch"),
            ("pci = [\"../../x\"]", "PCI"),
            ("pci = [\"0000:01:00.0\", \"0000:01:00.0\"]", "twice"),
            ("[boot]\ncommand_line = \"quiet\"", "boot.kernel"),
            ("[boot]\nkernel = \"/k\"\ncommand_line = \"a\\nb\"", "one line"),
            ("[boot]\nkernel = \"../k\"", "name"),
            ("[boot]\nkernel = \"/a/../k\"", "plain"),
            ("[boot]\norder = [\"disk\"]", "order"),
            ("[[disks]]\nname = \"a\"\nsource = \"a/b\"", "name"),
            ("[[disks]]\nname = \"-a\"\nsource = \"a\"", "name"),
            ("[[disks]]\nname = \"a,file=/etc/shadow\"\nsource = \"a\"", "name"),
            ("[[disks]]\nname = \"a\"\nsource = \"a\"\n[[disks]]\nname = \"a\"\nsource = \"b\"", "two disks"),
            ("[[disks]]\nname = \"a\"\nsource = \"a\"\n[[disks]]\nname = \"b\"\nsource = \"a\"", "two disks"),
            ("[[networks]]\n", "either"),
            ("[[networks]]\nuser = true\nnetwork = \"a\"", "either"),
            ("[[networks]]\nuser = true\n[[networks]]\nnetwork = \"a\"", "mixed"),
            ("[[networks]]\nnetwork = \"host\"", "host"),
            ("[[networks]]\nnetwork = \"a\"\nmac = \"01:00:00:00:00:00\"", "hardware"),
            ("[[networks]]\nnetwork = \"a\"\nmac = \"52:54:00:00:00:00:00\"", "hardware"),
            ("[[networks]]\nuser = true\nports = [\"80\"]", "published"),
            ("[[networks]]\nuser = true\nports = [\"1:2:3:4\"]", "published"),
            ("[[networks]]\nuser = true\nports = [\"0:80\"]", "published"),
        ];
        for (text, word) in table {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
        for name in ["", "..", ".a", "a/b", "a b", "-a", "ü", "a\n", &"x".repeat(64)] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_of_any_text_comes_back(
            line in "(vcpus|cpu|uuid|balloon_bytes|pci|video) = [\\[\"0-9a-z,+.:-]{0,24}[\"\\]]?",
        ) {
            if let Ok(definition) = parse(&line) {
                let written = definition.text().expect("text");
                assert_eq!(Definition::parse(&written).expect("own text"), definition);
            }
        }
    }
}
