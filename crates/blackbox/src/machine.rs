//! Tests in which containers are virtual machines: `BERTH_TEST_ISOLATION=vm` makes them so in every test that does not
//! choose itself.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Engine, engine, workload::escape};

/// The runtime of machines.
pub const RUNTIME: &str = "io.berth.vm";
/// The package that depends on the newest cloud kernel.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// Whether containers are to be machines where a test does not say.
pub fn are_wanted() -> bool {
    std::env::var("BERTH_TEST_ISOLATION").is_ok_and(|wanted| wanted == "vm")
}

/// A client's arguments, with the machines' runtime where containers are to be machines.
pub fn as_machine<S: AsRef<OsStr>>(arguments: &[S]) -> Vec<OsString> {
    let mut all: Vec<OsString> = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
    let makes = all.first().is_some_and(|verb| verb == "run" || verb == "create");
    let chosen = all.iter().any(|argument| {
        let text = argument.to_string_lossy();
        text.starts_with("--runtime") || text.starts_with("--isolation")
    });
    if are_wanted() && makes && !chosen {
        all.insert(1, format!("--runtime={RUNTIME}").into());
    }
    all
}

impl Engine {
    /// Starts an engine whose containers may be machines; says why when that cannot be here.
    pub fn start_for_machines() -> Result<Engine, String> {
        obtain_kernel()?;
        let engine = Engine::start();
        engine.install_kernel();
        Ok(engine)
    }

    /// Gives the engine a kernel for guests; without one the test counts as skipped.
    pub fn install_kernel(&self) {
        let (image, modules) = match obtain_kernel() {
            Ok(found) => found,
            Err(why) => {
                println!("skipped: {why}");
                std::process::exit(0);
            }
        };
        let text = |path: &Path| escape(&path.display().to_string());
        let path = format!("/vm/kernel?path={}&modules={}", text(&image), text(&modules));
        self.http().post(&path).expect(200);
    }
}

/// A kernel and its modules, fetched once beside the program that is tested.
pub fn obtain_kernel() -> Result<(PathBuf, PathBuf), String> {
    if !crate::command::is_installed("qemu-system-x86_64") {
        return Err("qemu-system-x86_64 is not installed".to_owned());
    }
    let place = engine::binary().parent().unwrap_or(Path::new("/tmp")).join("vm-kernel");
    if !place.exists() {
        fetch(&place)?;
    }
    let boot = std::fs::read_dir(place.join("boot")).map_err(|error| format!("{}: {error}", place.display()))?;
    let image = boot
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")));
    let image = image.ok_or_else(|| format!("no kernel is in {}", place.display()))?;
    Ok((image, place.join("lib/modules")))
}

/// What a guest loads at its start, in this order with what they need.
const LOADED: &[&str] = &["virtio_pci", "virtio_blk", "button", "evdev"];
/// What is there for a test to load.
const MORE: &[&str] = &["virtio_balloon", "failover", "net_failover", "virtio_net", "cdrom", "isofs"];
/// A shell on the serial port, which the power button ends.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod $module; done
(for event in /dev/input/event*; do dd if=$event of=/dev/null bs=24 count=1 2>/dev/null && poweroff -f & done; wait) &
stty -F /dev/ttyS0 -echo 2>/dev/null
echo SHELL READY
while true; do sh </dev/ttyS0 >/dev/ttyS0 2>&1; done
"#;

/// Writes an initramfs of BusyBox, a few modules and a shell on the serial port; says why it cannot be made.
pub fn initramfs(path: &Path, modules: &Path) -> Result<(), String> {
    let busybox = ["/usr/bin/busybox", "/bin/busybox"].iter().find_map(|path| std::fs::read(path).ok());
    let busybox = busybox.ok_or("busybox-static is not installed")?;
    let mut archive = Cpio::default();
    for name in ["bin", "modules", "more", "dev", "proc", "sys"] {
        archive.entry(name, 0o040_755, b"");
    }
    archive.entry("bin/busybox", 0o100_755, &busybox);
    archive.entry("init", 0o100_755, INIT.as_bytes());
    let mut known = Vec::new();
    collect(modules, &mut known);
    let mut loaded = Vec::new();
    for name in LOADED {
        load(name, &known, &mut loaded);
    }
    for (index, path) in loaded.iter().enumerate() {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        archive.entry(&format!("modules/{index:02}.ko"), 0o100_644, &bytes);
    }
    for name in MORE {
        let found = known.iter().find(|path| path.file_stem().is_some_and(|stem| stem == *name));
        let bytes =
            std::fs::read(found.ok_or(format!("the kernel has no {name}.ko"))?).map_err(|error| error.to_string())?;
        archive.entry(&format!("more/{name}.ko"), 0o100_644, &bytes);
    }
    archive.entry("TRAILER!!!", 0, b"");
    std::fs::write(path, archive.0).map_err(|error| error.to_string())
}

/// All modules below a directory.
fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            found.push(path);
        }
    }
}

/// A module behind those that it needs (`depends=` in its `.modinfo`); built-in ones have no file.
fn load(name: &str, known: &[PathBuf], loaded: &mut Vec<PathBuf>) {
    let is_named =
        |path: &&PathBuf| path.file_stem().is_some_and(|stem| stem.to_string_lossy().replace('-', "_") == name);
    let Some(path) = known.iter().find(is_named).filter(|path| !loaded.contains(path)) else { return };
    let bytes = std::fs::read(path).unwrap_or_default();
    let key = b"\0depends=";
    if let Some(at) = bytes.windows(key.len()).position(|window| window == key) {
        let rest = &bytes[at + key.len()..];
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
        for needed in String::from_utf8_lossy(&rest[..end]).split(',').filter(|needed| !needed.is_empty()) {
            load(&needed.replace('-', "_"), known, loaded);
        }
    }
    loaded.push(path.clone());
}

/// An archive in the form that the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst).
#[derive(Default)]
struct Cpio(Vec<u8>);

impl Cpio {
    fn entry(&mut self, name: &str, mode: u32, bytes: &[u8]) {
        let inode = self.0.len() / 4 + 1;
        let fields = [inode, mode as usize, 0, 0, 1, 0, bytes.len(), 0, 0, 0, 0, name.len() + 1, 0];
        let header: String = fields.iter().map(|field| format!("{field:08X}")).collect();
        self.0.extend(format!("070701{header}{name}\0").bytes());
        self.pad();
        self.0.extend(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// A disk of 1 MiB whose first sector says `word` on the first serial port, and stops the processor.
pub fn boot_sector(word: &str) -> Vec<u8> {
    // Far jump aside, the firmware gives no promise about segments: data by the code segment's own, which is 0.
    let mut code = vec![
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0xbe, 0x00, 0x00, // mov si, text
        0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xac, // next: lodsb
        0x08, 0xc0, // or al, al
        0x74, 0x03, // jz end
        0xee, // out dx, al
        0xeb, 0xf8, // jmp next
        0xfa, // end: cli
        0xf4, // hlt
        0xeb, 0xfd, // jmp hlt
    ];
    let text = 0x7c00 + code.len() as u16;
    code[5..7].copy_from_slice(&text.to_le_bytes());
    code.extend(format!("\r\n{word}\r\n\0").bytes());
    let mut disk = vec![0; 1 << 20];
    disk[..code.len()].copy_from_slice(&code);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// A CD-ROM image that boots into the sector of [`boot_sector`] (El Torito, without emulation).
pub fn boot_cdrom(word: &str) -> Vec<u8> {
    const SECTOR: usize = 2048;
    let mut image = vec![0; 64 * SECTOR];
    let mut put = |sector: usize, at: usize, bytes: &[u8]| {
        image[sector * SECTOR + at..][..bytes.len()].copy_from_slice(bytes);
    };
    put(16, 0, b"\x01CD001\x01");
    put(17, 0, b"\x00CD001\x01EL TORITO SPECIFICATION");
    put(17, 0x47, &19u32.to_le_bytes());
    put(18, 0, b"\xffCD001\x01");
    // The catalog: a validation entry whose words add up to nothing, and the boot entry: four sectors of 512 bytes.
    put(19, 0, &[1]);
    put(19, 28, &[0xaa, 0x55, 0x55, 0xaa]);
    put(19, 32, &[0x88, 0, 0, 0, 0, 0, 4, 0]);
    put(19, 40, &20u32.to_le_bytes());
    put(20, 0, &boot_sector(word)[..512]);
    image
}

fn fetch(place: &Path) -> Result<(), String> {
    let draft = tempfile::tempdir_in(place.parent().unwrap_or(Path::new("/tmp"))).map_err(|error| error.to_string())?;
    let said = run(Command::new("apt-cache").args(["depends", PACKAGE]))?;
    let package = said.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).unwrap_or(PACKAGE).to_owned();
    let options = ["download", "-qq", "-o", "APT::Sandbox::User=root"];
    run(Command::new("apt-get").args(options).arg(&package).current_dir(draft.path()))?;
    let deb = std::fs::read_dir(draft.path()).map_err(|error| error.to_string())?.next();
    let deb = deb.and_then(Result::ok).ok_or("apt-get has fetched nothing")?.path();
    let tree = draft.path().join("tree");
    run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&tree))?;
    // Another test may have been faster.
    let _ = std::fs::rename(tree, place);
    Ok(())
}

fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("no kernel for guests: {program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
