//! From a definition to a domain.

use std::{fmt::Write as _, path::Path};

use crate::{
    qemu::path_of,
    record::{BootDevice, Definition, Device, Disk, Format, Nic, NicModel, Video},
};

/// Writes a domain; files of the machine's own, which are below `own`, by their whole paths.
#[must_use]
pub fn write(machine: &Definition, own: &Path) -> String {
    let mut xml = Xml::default();
    xml.open("domain", &[("type", "kvm")]);
    xml.leaf("name", &[], &machine.name);
    xml.leaf("uuid", &[], &machine.uuid);
    xml.leaf("memory", &[("unit", "bytes")], &machine.memory_bytes.to_string());
    if let Some(bytes) = machine.balloon_bytes {
        xml.leaf("currentMemory", &[("unit", "bytes")], &bytes.to_string());
    }
    xml.leaf("vcpu", &[], &machine.vcpus.to_string());
    os(&mut xml, machine, own);
    xml.open("features", &[]);
    xml.empty("acpi", &[]);
    xml.empty("apic", &[]);
    xml.close("features");
    cpu(&mut xml, &machine.cpu);
    xml.open("devices", &[]);
    for disk in &machine.disks {
        drive(&mut xml, disk, own);
    }
    for nic in &machine.networks {
        interface(&mut xml, nic);
    }
    for address in &machine.pci {
        hostdev(&mut xml, address);
    }
    if machine.video == Video::Std {
        xml.open("video", &[]);
        xml.empty("model", &[("type", "vga")]);
        xml.close("video");
    }
    xml.open("serial", &[("type", "pty")]);
    xml.empty("target", &[("port", "0")]);
    xml.close("serial");
    xml.empty("memballoon", &[("model", "virtio")]);
    xml.open("rng", &[("model", "virtio")]);
    xml.leaf("backend", &[("model", "random")], "/dev/urandom");
    xml.close("rng");
    xml.close("devices");
    xml.close("domain");
    xml.text
}

fn os(xml: &mut Xml, machine: &Definition, own: &Path) {
    xml.open("os", &[]);
    xml.leaf("type", &[("arch", "x86_64"), ("machine", "q35")], "hvm");
    for (element, source) in [("kernel", &machine.boot.kernel), ("initrd", &machine.boot.initramfs)] {
        if let Some(source) = source {
            xml.leaf(element, &[], &path_of(own, source).to_string_lossy());
        }
    }
    if !machine.boot.command_line.is_empty() {
        xml.leaf("cmdline", &[], &machine.boot.command_line);
    }
    for device in &machine.boot.order {
        let word = match device {
            BootDevice::Disk => "hd",
            BootDevice::Cdrom => "cdrom",
            BootDevice::Network => "network",
        };
        xml.empty("boot", &[("dev", word)]);
    }
    xml.close("os");
}

fn cpu(xml: &mut Xml, cpu: &str) {
    let mut parts = cpu.split(',');
    let model = parts.next().unwrap_or_default();
    let mode = match model {
        "host" => "host-passthrough",
        "max" => "maximum",
        _ => "custom",
    };
    xml.open("cpu", &[("mode", mode)]);
    if mode == "custom" {
        xml.leaf("model", &[], model);
    }
    for feature in parts {
        let policy = if feature.starts_with('+') { "require" } else { "disable" };
        xml.empty("feature", &[("policy", policy), ("name", feature.trim_start_matches(['+', '-']))]);
    }
    xml.close("cpu");
}

fn drive(xml: &mut Xml, disk: &Disk, own: &Path) {
    let device = if disk.device == Device::Cdrom { "cdrom" } else { "disk" };
    let format = if disk.format == Format::Qcow2 { "qcow2" } else { "raw" };
    let path = path_of(own, &disk.source);
    xml.open("disk", &[("type", "file"), ("device", device)]);
    xml.empty("driver", &[("name", "qemu"), ("type", format)]);
    xml.empty("source", &[("file", &path.to_string_lossy())]);
    xml.empty("target", &[("dev", &disk.name), ("bus", if disk.is_sata() { "sata" } else { "virtio" })]);
    if disk.is_read_only() {
        xml.empty("readonly", &[]);
    }
    xml.close("disk");
}

fn interface(xml: &mut Xml, nic: &Nic) {
    xml.open("interface", &[("type", if nic.user { "user" } else { "network" })]);
    if !nic.user {
        xml.empty("source", &[("network", &nic.network)]);
    }
    xml.empty("mac", &[("address", &nic.mac)]);
    xml.empty("model", &[("type", if nic.model == NicModel::E1000e { "e1000e" } else { "virtio" })]);
    xml.close("interface");
}

fn hostdev(xml: &mut Xml, address: &str) {
    // Checked before: `dddd:bb:ss.f`.
    let part = |range: std::ops::Range<usize>| format!("0x{}", address.get(range).unwrap_or("0"));
    let (domain, bus, slot, function) = (part(0..4), part(5..7), part(8..10), part(11..12));
    xml.open("hostdev", &[("mode", "subsystem"), ("type", "pci"), ("managed", "no")]);
    xml.open("source", &[]);
    xml.empty("address", &[("domain", &domain), ("bus", &bus), ("slot", &slot), ("function", &function)]);
    xml.close("source");
    xml.close("hostdev");
}

/// A text with elements, an indent for each level.
#[derive(Default)]
struct Xml {
    text: String,
    depth: usize,
}

impl Xml {
    fn tag(&mut self, name: &str, attributes: &[(&str, &str)], end: &str) {
        let _ = write!(self.text, "{:width$}<{name}", "", width = self.depth * 2);
        for (key, value) in attributes {
            let _ = write!(self.text, " {key}=\"{}\"", escape(value));
        }
        self.text.push_str(end);
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, ">\n");
        self.depth += 1;
    }

    fn close(&mut self, name: &str) {
        self.depth -= 1;
        let _ = writeln!(self.text, "{:width$}</{name}>", "", width = self.depth * 2);
    }

    fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, "/>\n");
    }

    fn leaf(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.tag(name, attributes, ">");
        let _ = writeln!(self.text, "{}</{name}>", escape(text));
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            other => escaped.push(other),
        }
    }
    escaped
}
