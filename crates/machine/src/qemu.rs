//! QEMU's command line for a machine of its own: a q35 board (docs/system/i386/pc.rst), virtio on PCI.
//!
//! All paths are those of the jail; what the host's files are called never reaches the command line.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    Error, Result, backing,
    definition::parse_port,
    keeper::process::{CONSOLE, QMP},
    record::{BootDevice, Definition, Device, Disk, Format, Nic, NicModel, Video},
};

/// In the jail: where the monitor's sockets are.
const RUN: &str = "/vm/run";

/// The host's side of what a command line names.
#[derive(Debug, Clone)]
pub struct Host<'a> {
    /// QEMU's program.
    pub program: &'a Path,
    /// Whether KVM runs guests here.
    pub kvm: bool,
    /// The machine's own files.
    pub files: &'a Path,
    /// The image that cloud-init reads.
    pub seed: Option<&'a Path>,
    /// It goes on from a state that comes by standard input.
    pub restored: bool,
}

/// A command line, and what it needs to see.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Line {
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// In the jail: where, what, and whether it may be written.
    pub files: Vec<(String, PathBuf, bool)>,
}

impl Line {
    fn flags(&mut self, flags: &[&str]) {
        self.arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
    }

    fn option(&mut self, flag: &str, value: impl Into<String>) {
        self.arguments.extend([flag.to_owned(), value.into()]);
    }

    fn json(&mut self, flag: &str, value: &Value) {
        self.option(flag, value.to_string());
    }

    fn file(&mut self, place: String, path: &Path, writable: bool) {
        self.files.push((place, path.to_owned(), writable));
    }
}

/// The command line of a machine.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Host`] for what cannot be had here.
pub fn line(machine: &Definition, host: &Host<'_>) -> Result<Line> {
    let mut line = Line { arguments: vec![host.program.display().to_string()], ..Line::default() };
    board(machine, host, &mut line)?;
    boot(machine, host, &mut line);
    let mut indices = BootIndices::of(machine);
    let mut sata = 0;
    for (index, disk) in machine.disks.iter().enumerate() {
        drive(host, disk, index, &mut indices, &mut sata, &mut line)?;
    }
    if let Some(seed) = host.seed {
        line.file("/disk/seed".to_owned(), seed, false);
        line.json("-blockdev", &protocol("seed", "raw", "/disk/seed", true));
        line.option("-device", "virtio-blk-pci,drive=seed,serial=seed");
    }
    for (index, nic) in machine.networks.iter().enumerate() {
        network(nic, index, &mut indices, &mut line)?;
    }
    for address in &machine.pci {
        line.option("-device", format!("vfio-pci,host={address}"));
    }
    if host.restored {
        line.option("-incoming", "fd:0");
    }
    Ok(line)
}

/// The processor's model. Interpreted, fast string instructions are slow ones (see `berth_vm::qemu`), and a guest that
/// asked for the most that there is does not ask for them.
fn processor(model: &str, kvm: bool) -> String {
    if model == "max" && !kvm { berth_vm::qemu::INTERPRETED.to_owned() } else { model.to_owned() }
}

fn board(machine: &Definition, host: &Host<'_>, line: &mut Line) -> Result<()> {
    if machine.cpu.split(',').next() == Some("host") && !host.kvm {
        return Err(Error::Host(
            "the processor model `host` needs KVM, which does not run guests here (berth vm doctor tells why): use `max`"
                .to_owned(),
        ));
    }
    line.flags(&["-nodefaults", "-no-user-config"]);
    line.option("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    line.option("-name", machine.name.clone());
    line.option("-uuid", machine.uuid.clone());
    line.option("-accel", if host.kvm { "kvm" } else { "tcg,thread=multi,tb-size=128" });
    line.option("-cpu", processor(&machine.cpu, host.kvm));
    line.option("-smp", machine.vcpus.to_string());
    line.option("-m", format!("{}M", machine.memory_bytes >> 20));
    match machine.video {
        Video::None => {
            line.option("-machine", "q35,graphics=off");
            line.option("-vga", "none");
        }
        Video::Std => {
            line.option("-machine", "q35");
            line.option("-vga", "std");
        }
    }
    line.option("-display", "none");
    line.option("-rtc", "base=utc,driftfix=slew");
    line.option("-chardev", format!("socket,id=console,path={RUN}/{CONSOLE}"));
    line.option("-serial", "chardev:console");
    line.option("-chardev", format!("socket,id=qmp,path={RUN}/{QMP}"));
    line.option("-mon", "chardev=qmp,mode=control");
    line.option("-object", "rng-random,id=rng,filename=/dev/urandom");
    line.option("-device", "virtio-rng-pci,rng=rng");
    line.option("-device", "virtio-balloon-pci,id=balloon,free-page-reporting=on,deflate-on-oom=on");
    Ok(())
}

fn boot(machine: &Definition, host: &Host<'_>, line: &mut Line) {
    let parts =
        [("-kernel", "/vm/kernel", &machine.boot.kernel), ("-initrd", "/vm/initramfs", &machine.boot.initramfs)];
    for (flag, place, source) in parts {
        if let Some(source) = source {
            line.file(place.to_owned(), &path_of(host.files, source), false);
            line.option(flag, place);
        }
    }
    if !machine.boot.command_line.is_empty() {
        line.option("-append", machine.boot.command_line.clone());
    }
}

/// Where a source is: a path of the host, or a file of the machine's own.
#[must_use]
pub fn path_of(files: &Path, source: &str) -> PathBuf {
    // Joined to an absolute path, the directory has no say.
    files.join(source)
}

/// Which device the firmware looks at when.
struct BootIndices {
    order: Vec<BootDevice>,
    next: u32,
}

impl BootIndices {
    fn of(machine: &Definition) -> Self {
        let order = match machine.boot.order.is_empty() {
            true => vec![BootDevice::Disk, BootDevice::Cdrom],
            false => machine.boot.order.clone(),
        };
        Self { order, next: 0 }
    }

    /// `,bootindex=N` for a device of a kind that is booted from.
    fn take(&mut self, kind: BootDevice) -> String {
        let Some(rank) = self.order.iter().position(|one| *one == kind) else { return String::new() };
        self.next += 1;
        // All of the first kind before any of the second.
        format!(",bootindex={}", rank as u32 * 100 + self.next)
    }
}

fn drive(
    host: &Host<'_>,
    disk: &Disk,
    index: usize,
    indices: &mut BootIndices,
    sata: &mut usize,
    line: &mut Line,
) -> Result<()> {
    let node = format!("disk{index}");
    let path = path_of(host.files, &disk.source);
    let place = format!("/disk/{index}");
    match disk.format {
        Format::Raw => {
            line.file(place.clone(), &path, !disk.is_read_only());
            line.json("-blockdev", &protocol(&node, "raw", &place, disk.is_read_only()));
        }
        Format::Qcow2 => qcow2(disk, &path, index, line)?,
    }
    let kind = if disk.device == Device::Cdrom { BootDevice::Cdrom } else { BootDevice::Disk };
    let boot = indices.take(kind);
    let device = match (disk.is_sata(), disk.device) {
        (false, _) => format!("virtio-blk-pci,drive={node},serial={}{boot}", disk.name),
        (true, device) => {
            let model = if device == Device::Cdrom { "ide-cd" } else { "ide-hd" };
            *sata += 1;
            format!("{model},bus=ide.{},drive={node},serial={}{boot}", *sata - 1, disk.name)
        }
    };
    line.option("-device", device);
    Ok(())
}

/// The files of a qcow2 disk are named one by one: what a header says is never followed by the monitor.
fn qcow2(disk: &Disk, path: &Path, index: usize, line: &mut Line) -> Result<()> {
    let chain = backing::chain(path, disk.allow_backing)?;
    let last = chain.len() - 1;
    // From the bottom up, so that each node finds the one it builds upon.
    for (depth, layer) in chain.iter().enumerate().rev() {
        let read_only = depth > 0 || disk.is_read_only();
        let node = |depth: usize| if depth == 0 { format!("disk{index}") } else { format!("disk{index}-{depth}") };
        let place = format!("/disk/{index}-{depth}");
        line.file(place.clone(), &layer.path, !read_only);
        let driver = if layer.is_qcow2 { "qcow2" } else { "raw" };
        let mut value = protocol(&node(depth), driver, &place, read_only);
        if layer.is_qcow2 {
            value["backing"] = if depth < last { json!(node(depth + 1)) } else { Value::Null };
        }
        if let Some(data) = &layer.data_file {
            let (data_node, data_place) = (format!("{}-data", node(depth)), format!("{place}-data"));
            line.file(data_place.clone(), data, !read_only);
            line.json("-blockdev", &protocol(&data_node, "raw", &data_place, read_only));
            value["data-file"] = json!(data_node);
        }
        line.json("-blockdev", &value);
    }
    Ok(())
}

fn protocol(node: &str, driver: &str, place: &str, read_only: bool) -> Value {
    json!({
        "driver": driver,
        "node-name": node,
        "read-only": read_only,
        "discard": "unmap",
        "file": {"driver": "file", "filename": place, "discard": "unmap"},
    })
}

fn network(nic: &Nic, index: usize, indices: &mut BootIndices, line: &mut Line) -> Result<()> {
    if nic.user {
        let mut value = format!("user,id=net{index}");
        for port in &nic.ports {
            let mapping = parse_port(port)?;
            let host = mapping.host_ports.map_or(0, |range| *range.start());
            let address = match mapping.host_ip {
                Some(std::net::IpAddr::V6(_)) => {
                    return Err(Error::invalid(format!(
                        "{port}: a network in user mode publishes on IPv4 addresses only"
                    )));
                }
                Some(address) => address.to_string(),
                None => String::new(),
            };
            value.push_str(&format!(",hostfwd={}:{address}:{host}-:{}", mapping.protocol, mapping.container_port));
        }
        line.option("-netdev", value);
    } else {
        let tap = berth_vm::plan::tap_name(index);
        line.option("-netdev", format!("tap,id=net{index},ifname={tap},script=no,downscript=no"));
    }
    let boot = indices.take(BootDevice::Network);
    // Without a boot from the network, the firmware's driver only costs time.
    let rom = if boot.is_empty() { ",romfile=" } else { "" };
    let model = if nic.model == NicModel::E1000e { "e1000e" } else { "virtio-net-pci" };
    line.option("-device", format!("{model},netdev=net{index},mac={}{boot}{rom}", nic.mac));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_hosts_names_reaches_the_command_line() {
        let dir = tempfile::tempdir().expect("tempdir");
        let hostile = dir.path().join("a,file=b \"c\".raw");
        std::fs::write(&hostile, "").expect("write");
        let text = format!(
            "name = \"one\"\n[boot]\nkernel = \"kernel\"\ncommand_line = \"a=b,c quiet\"\norder = [\"network\", \"disk\"]\n\
             [[disks]]\nname = \"root\"\nsource = '''{}'''\n[[disks]]\nname = \"cd\"\nsource = \"cd.iso\"\ndevice = \"cdrom\"\n\
             [[networks]]\nuser = true\nports = [\"127.0.0.1:2222:22\"]",
            hostile.display()
        );
        let mut machine = Definition::parse(&text).expect("valid");
        machine.identify(false);
        let files = dir.path().join("files");
        let host = Host { program: Path::new("/usr/bin/q"), kvm: false, files: &files, seed: None, restored: true };
        let line = line(&machine, &host).expect("line");
        let all = line.arguments.join(" ");
        assert!(!all.contains(&*dir.path().to_string_lossy()), "{all}");
        for part in [
            "-kernel /vm/kernel",
            "-append a=b,c quiet",
            "ide-cd,bus=ide.0,drive=disk1,serial=cd ",
            "virtio-blk-pci,drive=disk0,serial=root,bootindex=101",
            "hostfwd=tcp:127.0.0.1:2222-:22",
            "-incoming fd:0",
            "bootindex=2",
        ] {
            assert!(all.contains(part), "{part} is not in {all}");
        }
        let expected = [
            ("/vm/kernel".to_owned(), files.join("kernel"), false),
            ("/disk/0".to_owned(), hostile, true),
            ("/disk/1".to_owned(), files.join("cd.iso"), false),
        ];
        assert_eq!(line.files, expected);
        machine.cpu = "host,-avx".to_owned();
        assert!(super::line(&machine, &host).expect_err("no KVM").to_string().contains("max"));
    }
}
