//! From a domain to a definition.

use roxmltree::{Document, Node, ParsingOptions};

use super::Read;
use crate::{
    Error, Result,
    record::{Boot, BootDevice, Bus, Definition, Device, Disk, Format, Nic, NicModel, VERSION, Video},
};

/// A domain is at most so long, in bytes.
const BYTES_MAX: usize = 1 << 20;
/// Elements and texts in it.
const NODES_MAX: u32 = 50_000;

/// Reads a domain. No document type, and so no entities: what looks like one is refused.
///
/// # Errors
/// [`Error::Invalid`] with what is wrong with it.
pub fn read(text: &str) -> Result<Read> {
    if text.len() > BYTES_MAX {
        return Err(Error::invalid(format!("the domain is longer than {BYTES_MAX} bytes")));
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| Error::invalid(format!("the domain is no XML: {error}")))?;
    let root = document.root_element();
    if root.tag_name().name() != "domain" {
        return Err(Error::invalid(format!("the XML is a {}, and no domain", cut(root.tag_name().name()))));
    }
    let kind = root.attribute("type").unwrap_or_default();
    if !matches!(kind, "kvm" | "qemu") {
        return Err(Error::invalid(format!("a domain of type {:?} cannot run here: kvm and qemu can", cut(kind))));
    }
    let mut reader = Reader { definition: empty(), unknown: Vec::new() };
    reader.domain(root)?;
    let Reader { definition, mut unknown } = reader;
    unknown.sort();
    unknown.dedup();
    definition.check()?;
    Ok(Read { definition, unknown })
}

fn empty() -> Definition {
    Definition {
        version: VERSION,
        name: String::new(),
        uuid: String::new(),
        vcpus: 1,
        memory_bytes: 0,
        balloon_bytes: None,
        cpu: "max".to_owned(),
        autostart: false,
        video: Video::None,
        pci: Vec::new(),
        boot: Boot::default(),
        disks: Vec::new(),
        networks: Vec::new(),
        cloud_init: None,
    }
}

struct Reader {
    definition: Definition,
    unknown: Vec<String>,
}

impl Reader {
    fn domain(&mut self, root: Node<'_, '_>) -> Result<()> {
        let mut current = None;
        for node in elements(root) {
            match name(node) {
                "name" => self.definition.name = text(node),
                "uuid" => self.definition.uuid = text(node).to_ascii_lowercase(),
                "memory" => self.definition.memory_bytes = memory(node)?,
                "currentMemory" => current = Some(memory(node)?),
                "vcpu" => self.definition.vcpus = number(node)?,
                "os" => self.os(node)?,
                "cpu" => self.cpu(node)?,
                "devices" => self.devices(node)?,
                "features" => {
                    for feature in elements(node).filter(|feature| !matches!(name(*feature), "acpi" | "apic" | "pae")) {
                        self.pass_over(feature);
                    }
                }
                // What they say is what happens here anyway, or about how the host shows the machine to people.
                "title" | "description" | "clock" | "on_poweroff" | "on_reboot" | "on_crash" | "pm" => {}
                _ => self.pass_over(node),
            }
        }
        if let Some(bytes) = current.filter(|bytes| *bytes < self.definition.memory_bytes) {
            self.definition.balloon_bytes = Some(bytes);
        }
        Ok(())
    }

    fn os(&mut self, os: Node<'_, '_>) -> Result<()> {
        for node in elements(os) {
            match name(node) {
                "type" => {
                    let architecture = node.attribute("arch").unwrap_or("x86_64");
                    if text(node) != "hvm" || architecture != "x86_64" {
                        return Err(Error::invalid(format!(
                            "the domain is for {} on {}: only hvm on x86_64 runs here",
                            cut(&text(node)),
                            cut(architecture)
                        )));
                    }
                }
                "kernel" => self.definition.boot.kernel = Some(text(node)),
                "initrd" => self.definition.boot.initramfs = Some(text(node)),
                "cmdline" => self.definition.boot.command_line = text(node),
                "boot" => match boot_device(node.attribute("dev").unwrap_or_default()) {
                    Some(device) => self.definition.boot.order.push(device),
                    None => self.pass_over(node),
                },
                _ => self.pass_over(node),
            }
        }
        Ok(())
    }

    fn cpu(&mut self, cpu: Node<'_, '_>) -> Result<()> {
        let mut model = match cpu.attribute("mode").unwrap_or("custom") {
            "host-passthrough" | "host-model" => "host".to_owned(),
            "maximum" => "max".to_owned(),
            "custom" => String::new(),
            other => return Err(Error::invalid(format!("the cpu mode {:?} is not known", cut(other)))),
        };
        let mut features = String::new();
        for node in elements(cpu) {
            match name(node) {
                "model" if model.is_empty() => model = text(node),
                "model" => {}
                "feature" => {
                    let sign = match node.attribute("policy").unwrap_or("require") {
                        "require" | "force" | "optional" => '+',
                        _ => '-',
                    };
                    features.push_str(&format!(",{sign}{}", node.attribute("name").unwrap_or_default()));
                }
                _ => self.pass_over(node),
            }
        }
        let model = if model.is_empty() { "max" } else { &model };
        self.definition.cpu = format!("{model}{features}");
        Ok(())
    }

    fn devices(&mut self, devices: Node<'_, '_>) -> Result<()> {
        let mut orders: Vec<(u32, BootDevice)> = Vec::new();
        for node in elements(devices) {
            match name(node) {
                "disk" => self.disk(node, &mut orders)?,
                "interface" => self.interface(node, &mut orders)?,
                "hostdev" => self.hostdev(node)?,
                "video" => self.definition.video = Video::Std,
                // There is one serial port, a balloon and a source of random numbers in every machine here; what else
                // is on its buses is decided here.
                "emulator" | "controller" | "serial" | "console" | "memballoon" | "rng" => {}
                _ => self.pass_over(node),
            }
        }
        orders.sort_by_key(|(rank, _)| *rank);
        for (_, device) in orders {
            let order = &mut self.definition.boot.order;
            if !order.contains(&device) {
                order.push(device);
            }
        }
        Ok(())
    }

    fn disk(&mut self, disk: Node<'_, '_>, orders: &mut Vec<(u32, BootDevice)>) -> Result<()> {
        let device = match disk.attribute("device").unwrap_or("disk") {
            "disk" => Device::Disk,
            "cdrom" => Device::Cdrom,
            _ => {
                self.pass_over(disk);
                return Ok(());
            }
        };
        let kind = if device == Device::Cdrom { BootDevice::Cdrom } else { BootDevice::Disk };
        let mut found = Disk {
            name: String::new(),
            source: String::new(),
            format: Format::Raw,
            device,
            bus: Bus::Virtio,
            read_only: false,
            allow_backing: false,
        };
        for node in elements(disk) {
            match name(node) {
                "driver" => match node.attribute("type").unwrap_or("raw") {
                    "raw" => {}
                    "qcow2" => found.format = Format::Qcow2,
                    other => return Err(Error::invalid(format!("a disk of format {:?} cannot be read", cut(other)))),
                },
                "source" => {
                    let source = node.attribute("file").or_else(|| node.attribute("dev")).unwrap_or_default();
                    source.clone_into(&mut found.source);
                }
                "target" => {
                    node.attribute("dev").unwrap_or_default().clone_into(&mut found.name);
                    if device == Device::Disk && node.attribute("bus").is_some_and(|bus| bus != "virtio") {
                        found.bus = Bus::Sata;
                    }
                }
                "readonly" => found.read_only = device == Device::Disk,
                "boot" => orders.extend(rank(node).map(|rank| (rank, kind))),
                "address" | "alias" | "serial" => {}
                _ => self.pass_over(node),
            }
        }
        if found.source.is_empty() {
            // An empty CD-ROM drive has nothing to show; any other disk without a file is somewhere else.
            if device == Device::Disk {
                self.pass_over(disk);
            }
            return Ok(());
        }
        self.definition.disks.push(found);
        Ok(())
    }

    fn interface(&mut self, interface: Node<'_, '_>, orders: &mut Vec<(u32, BootDevice)>) -> Result<()> {
        let mut nic = Nic::default();
        match interface.attribute("type").unwrap_or_default() {
            "user" => nic.user = true,
            "network" | "bridge" => {}
            _ => {
                self.pass_over(interface);
                return Ok(());
            }
        }
        for node in elements(interface) {
            match name(node) {
                "source" => {
                    let network = node.attribute("network").or_else(|| node.attribute("bridge"));
                    network.unwrap_or_default().clone_into(&mut nic.network);
                }
                "mac" => nic.mac = node.attribute("address").unwrap_or_default().to_ascii_lowercase(),
                "model" => match node.attribute("type").unwrap_or("virtio") {
                    "virtio" => {}
                    "e1000e" => nic.model = NicModel::E1000e,
                    // A guest that knows one of them knows the other.
                    "e1000" => nic.model = NicModel::E1000e,
                    _ => self.pass_over(node),
                },
                "boot" => orders.extend(rank(node).map(|rank| (rank, BootDevice::Network))),
                "address" | "alias" | "target" => {}
                _ => self.pass_over(node),
            }
        }
        self.definition.networks.push(nic);
        Ok(())
    }

    fn hostdev(&mut self, hostdev: Node<'_, '_>) -> Result<()> {
        let is_pci = hostdev.attribute("mode") == Some("subsystem") && hostdev.attribute("type") == Some("pci");
        let source = elements(hostdev).find(|node| name(*node) == "source");
        let address = source.and_then(|source| elements(source).find(|node| name(*node) == "address"));
        let Some(address) = address.filter(|_| is_pci) else {
            self.pass_over(hostdev);
            return Ok(());
        };
        let part = |key: &str| {
            let text = address.attribute(key).unwrap_or("0x0");
            let digits = text.trim_start_matches("0x");
            u32::from_str_radix(digits, 16)
                .map_err(|_| Error::invalid(format!("{:?} is no part of a PCI address", cut(text))))
        };
        let (domain, bus, slot, function) = (part("domain")?, part("bus")?, part("slot")?, part("function")?);
        self.definition.pci.push(format!("{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"));
        Ok(())
    }

    /// Names an element that means nothing here.
    fn pass_over(&mut self, node: Node<'_, '_>) {
        let mut parts: Vec<&str> = node.ancestors().filter(Node::is_element).map(name).collect();
        // The domain itself needs no mention.
        parts.pop();
        parts.reverse();
        let mut path = cut(&parts.join("/"));
        for key in ["type", "device", "mode"] {
            if let Some(value) = node.attribute(key) {
                path.push_str(&format!("[{key}={}]", cut(value)));
            }
        }
        self.unknown.push(path);
    }
}

fn elements<'a, 'input: 'a>(node: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(Node::is_element)
}

fn name<'a>(node: Node<'a, '_>) -> &'a str {
    node.tag_name().name()
}

fn text(node: Node<'_, '_>) -> String {
    node.text().unwrap_or_default().trim().to_owned()
}

fn number(node: Node<'_, '_>) -> Result<u32> {
    let text = text(node);
    text.parse().map_err(|_| Error::invalid(format!("{} is {:?}, which is no number", name(node), cut(&text))))
}

fn rank(node: Node<'_, '_>) -> Option<u32> {
    node.attribute("order")?.parse().ok()
}

fn boot_device(text: &str) -> Option<BootDevice> {
    match text {
        "hd" => Some(BootDevice::Disk),
        "cdrom" => Some(BootDevice::Cdrom),
        "network" => Some(BootDevice::Network),
        _ => None,
    }
}

/// A size with its unit, in bytes, rounded up to whole MiB.
fn memory(node: Node<'_, '_>) -> Result<u64> {
    let refuse = || Error::invalid(format!("{} is no size", name(node)));
    let amount: u64 = text(node).parse().map_err(|_| refuse())?;
    let unit: u64 = match node.attribute("unit").unwrap_or("KiB") {
        "b" | "bytes" => 1,
        "KB" => 1000,
        "k" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "T" | "TiB" => 1 << 40,
        _ => return Err(refuse()),
    };
    amount.checked_mul(unit).and_then(|bytes| bytes.checked_next_multiple_of(1 << 20)).ok_or_else(refuse)
}

/// The beginning of a text that may be anything.
fn cut(text: &str) -> String {
    text.chars().filter(|sign| !sign.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = r#"
<domain type="kvm">
  <name>web</name>
  <uuid>4DEA22B3-1D52-D8F3-2516-782E98AB3FA0</uuid>
  <memory unit="MiB">1024</memory>
  <currentMemory>524288</currentMemory>
  <vcpu placement="static">2</vcpu>
  <os><type arch="x86_64" machine="pc-q35-7.2">hvm</type><boot dev="cdrom"/><boot dev="hd"/></os>
  <features><acpi/><apic/><hyperv mode="custom"/></features>
  <cpu mode="custom" match="exact"><model>EPYC</model><feature policy="require" name="svm"/><feature policy="disable" name="avx2"/></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type="file" device="disk"><driver name="qemu" type="qcow2" cache="none"/><source file="/srv/web.qcow2"/><target dev="vda" bus="virtio"/></disk>
    <disk type="file" device="cdrom"><source file="/srv/cd.iso"/><target dev="sda" bus="sata"/><readonly/></disk>
    <disk type="network" device="disk"><source protocol="rbd" name="a/b"/><target dev="vdb"/></disk>
    <interface type="network"><source network="default"/><mac address="52:54:00:AA:BB:CC"/><model type="virtio"/></interface>
    <hostdev mode="subsystem" type="pci" managed="yes"><source><address domain="0x0000" bus="0x01" slot="0x00" function="0x0"/></source></hostdev>
    <hostdev mode="subsystem" type="usb"/>
    <graphics type="spice"/>
    <memballoon model="virtio"/>
    <console type="pty"/>
  </devices>
  <qemu:commandline xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0"><qemu:arg value="-x"/></qemu:commandline>
</domain>"#;

    #[test]
    fn common_elements_are_understood_and_others_named() {
        let Read { definition, unknown } = read(DOMAIN).expect("a domain");
        assert_eq!((definition.name.as_str(), definition.vcpus, definition.memory_bytes), ("web", 2, 1 << 30));
        assert_eq!((definition.balloon_bytes, definition.cpu.as_str()), (Some(512 << 20), "EPYC,+svm,-avx2"));
        assert_eq!(definition.boot.order, [BootDevice::Cdrom, BootDevice::Disk]);
        assert_eq!((definition.disks.len(), definition.disks[0].format), (2, Format::Qcow2));
        assert_eq!((definition.networks[0].network.as_str(), definition.pci[0].as_str()), ("default", "0000:01:00.0"));
        assert_eq!(
            unknown,
            [
                "commandline",
                "devices/disk[type=network][device=disk]",
                "devices/graphics[type=spice]",
                "devices/hostdev[type=usb][mode=subsystem]",
                "features/hyperv[mode=custom]",
            ]
        );
        let written = super::super::write(&definition, std::path::Path::new("/own"));
        let again = read(&written).expect("own XML");
        assert_eq!((again.definition, again.unknown), (definition, Vec::new()), "{written}");
    }

    #[test]
    fn hostile_domains_are_refused() {
        let with = |from: &str, to: &str| read(&DOMAIN.replace(from, to)).expect_err(to).to_string();
        for (from, to, word) in [
            ("<name>web</name>", "<name>../web</name>", "name"),
            ("<name>web</name>", "", "name"),
            ("\"kvm\"", "\"xen\"", "xen"),
            ("hvm", "linux", "hvm"),
            ("x86_64\" machine", "aarch64\" machine", "aarch64"),
            ("type=\"qcow2\"", "type=\"vmdk\"", "vmdk"),
            ("/srv/web.qcow2", "/srv/../web", "plain"),
            ("/srv/web.qcow2", "a,b", "name"),
            ("dev=\"vda\"", "dev=\"vda,serial=x\"", "name"),
            ("name=\"svm\"", "name=\"svm,host\"", "cpu"),
            ("1024", "99999999999999999999", "memory"),
            ("1024", "18446744073709551615", "memory"),
            ("unit=\"MiB\"", "unit=\"furlong\"", "memory"),
            ("<vcpu placement=\"static\">2", "<vcpu>-1", "vcpu"),
            ("bus=\"0x01\"", "bus=\"0xzz\"", "PCI"),
            ("slot=\"0x00\"", "slot=\"0xffff\"", "PCI"),
            ("52:54:00:AA:BB:CC", "52:54:00:AA:BB", "hardware"),
        ] {
            let text = with(from, to);
            assert!(text.contains(word), "{to}: {text}");
        }
        let bomb = format!("<!DOCTYPE a [<!ENTITY a \"aaaa\">]>{DOMAIN}");
        assert!(read(bomb.trim()).expect_err("a document type").to_string().contains("no XML"));
        let many = format!("<domain type=\"kvm\">{}</domain>", "<a/>".repeat(100_000));
        assert!(read(&many).is_err());
        let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        assert!(read(&deep).is_err());
        assert!(read(&" ".repeat(BYTES_MAX + 1)).is_err());
        for length in (0..DOMAIN.len()).step_by(7) {
            let _ = read(&DOMAIN[..length]);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(500))]

        #[test]
        fn what_is_taken_of_a_spoiled_domain_is_valid(
            changes in proptest::collection::vec((0usize..DOMAIN.len(), 0u8..128), 1..6),
        ) {
            let mut bytes = DOMAIN.as_bytes().to_vec();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            if let Ok(found) = read(std::str::from_utf8(&bytes).expect("ASCII")) {
                found.definition.check().expect("valid");
                read(&super::super::write(&found.definition, std::path::Path::new("/own"))).expect("own XML");
            }
        }
    }
}
