//! A machine for tests of what this one cannot give: its own kernel with nothing but cgroup v2, and a disk whose power
//! can be cut. QEMU without hardware help boots Debian's cloud kernel from an image that is put together here.
//!
//! ```text
//! initramfs   BusyBox and the modules of the disk; mounts it and goes on there
//! disk, ext4  BusyBox, a few programs with their libraries, modules, berth, this test program, /script
//! ```
//!
//! The guest's `/sbin/begin` mounts what a small system has, runs `/script`, prints `GUEST-EXIT <code>` and powers off.

mod debian;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::machine::obtain_kernel;

/// Programs of this system that do more than BusyBox's.
const PROGRAMS: &[&str] = &["unshare", "nsenter", "mount", "ip"];
/// What the initramfs needs for the disk; those that the kernel has built in are left out.
const DISK_MODULES: &[&str] = &["virtio_mmio", "virtio_blk", "crc32c_generic", "ext4"];
const DISK_BYTES: u64 = 2 << 30;

const INIT: &str = r"#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc; /bin/busybox mount -t devtmpfs dev /dev
for module in virtio_mmio virtio_blk crc32c_generic ext4; do /bin/busybox modprobe $module 2>/dev/null; done
/bin/busybox mount -t ext4 /dev/vda /root || /bin/busybox poweroff -f
/bin/busybox umount /proc
[ -x /root/sbin/begin ] && exec /bin/busybox switch_root /root /sbin/begin
exec /bin/busybox switch_root /root /lib/systemd/systemd
";

const BEGIN: &str = r"#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup; mount -t tmpfs run /run
for module in overlay bridge veth loop nf_tables nft_chain_nat nft_masq nft_ct nft_fib_inet; do modprobe $module 2>/dev/null; done
ip link set lo up; hostname guest
echo GUEST-UP
sh /script; echo GUEST-EXIT $?
sync; poweroff -f
";

/// A machine that is put together and not running.
#[derive(Debug)]
pub struct Guest {
    place: TempDir,
    kernel: PathBuf,
}

/// What a script told of `name`: the rest of its line `IS name …`.
///
/// # Panics
/// When it told nothing of it.
pub fn told(said: &str, name: &str) -> String {
    let line = said.lines().find_map(|line| line.trim().strip_prefix(&format!("IS {name} ")));
    line.unwrap_or_else(|| panic!("nothing about {name}:\n{said}")).trim().to_owned()
}

impl Guest {
    /// A machine that runs `script`; `files` are (path here, path in the machine), programs without their debug
    /// information, all else as it is. Says why when that cannot be here.
    pub fn build(script: &str, files: &[(&Path, &str)]) -> Result<Guest, String> {
        Guest::assemble(|tree, modules| make_tree(tree, modules, script, files))
    }

    /// As [`Guest::build`], with Debian and its systemd as the system; the script is a service of it.
    pub fn build_systemd(script: &str, files: &[(&Path, &str)]) -> Result<Guest, String> {
        Guest::assemble(|tree, modules| debian::make_tree(tree, modules, script, files))
    }

    fn assemble(make: impl FnOnce(&Path, &Path) -> Result<(), String>) -> Result<Guest, String> {
        for program in ["mkfs.ext4", "strip", "busybox"].iter().chain(PROGRAMS) {
            if !crate::command::is_installed(program) {
                return Err(format!("{program} is not installed"));
            }
        }
        let (kernel, modules) = obtain_kernel()?;
        let place = tempfile::Builder::new().prefix("berth-guest-").tempdir_in("/var/tmp").map_err(text)?;
        let tree = place.path().join("tree");
        make(&tree, &modules)?;
        let disk = place.path().join("disk");
        std::fs::File::create(&disk).and_then(|file| file.set_len(DISK_BYTES)).map_err(text)?;
        let options = ["-q", "-F", "-E", "lazy_itable_init=1,nodiscard", "-d"];
        run(Command::new("mkfs.ext4").args(options).arg(&tree).arg(&disk))?;
        make_initramfs(&place.path().join("init"), &tree, &place.path().join("initramfs"))?;
        std::fs::remove_dir_all(&tree).map_err(text)?;
        Ok(Guest { place, kernel })
    }

    /// Switches the machine on.
    pub fn boot(&self) -> Running {
        self.boot_on("max", 1536, 2)
    }

    /// Switches it on with a processor that has hardware virtualization, interpreted like the rest: `kvm_amd` loads.
    pub fn boot_with_kvm(&self) -> Running {
        self.boot_on("EPYC,+svm", 2560, 1)
    }

    fn boot_on(&self, processor: &str, memory_mib: u32, processors: u32) -> Running {
        let mut qemu = Command::new("qemu-system-x86_64");
        let at = |name: &str| self.place.path().join(name);
        let line = format!(
            "console=ttyS0 quiet panic=-1 reboot=t no_timer_check tsc_early_khz={} tsc=reliable audit=0 \
             cryptomgr.notests",
            tsc_khz()
        );
        qemu.args(["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"])
            .args(["-m", &format!("{memory_mib}M"), "-smp", &processors.to_string()])
            .args(["-accel", "tcg,thread=multi", "-cpu", processor])
            .args(["-M", "microvm,acpi=on,pit=off,pic=off,rtc=on,isa-serial=on"])
            .args(["-global", "virtio-mmio.force-legacy=false", "-serial", "stdio", "-append", &line])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(at("initramfs"))
            // A flush of the guest's is a flush here; what it has not flushed may be anywhere when it is killed.
            .args(["-device", "virtio-blk-device,drive=disk", "-drive"])
            .arg(format!("if=none,id=disk,format=raw,cache=writeback,file={}", at("disk").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = qemu.spawn().expect("qemu starts");
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, stdout) = (said.clone(), child.stdout.take().expect("piped"));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let mut said = lines.lock().expect("no reader panics");
                said.push_str(String::from_utf8_lossy(&line).trim_end_matches('\r'));
                said.push('\n');
            }
        });
        Running { child, said, reader: Some(reader) }
    }
}

/// A machine under power; dropped, it is cut off.
#[derive(Debug)]
pub struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Running {
    /// What its console has said so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("no reader panics").clone()
    }

    /// Waits until it has powered off, at most `seconds`; what it said.
    pub fn finish(&mut self, seconds: u64) -> String {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            if self.child.try_wait().expect("waiting for qemu").is_some() {
                return self.all();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the machine does not end within {seconds} s; it said\n{}", self.said());
    }

    /// Waits until the console has said `part`, at most `seconds`; false if it ended or did not.
    pub fn says(&mut self, part: &str, seconds: u64) -> bool {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            if self.said().contains(part) {
                return true;
            }
            if self.child.try_wait().expect("waiting for qemu").is_some() {
                return self.all().contains(part);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// The power is cut: what the guest has not flushed is lost.
    pub fn cut(mut self) -> String {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("its end");
        self.all()
    }

    /// What the console has said to its end, which has come.
    fn all(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("no reader panics");
        }
        self.said()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn make_tree(tree: &Path, modules: &Path, script: &str, files: &[(&Path, &str)]) -> Result<(), String> {
    for folder in ["bin sbin usr/bin usr/sbin proc sys dev run tmp root etc lib/modules var/tmp mnt"]
        .iter()
        .flat_map(|names| names.split(' '))
    {
        std::fs::create_dir_all(tree.join(folder)).map_err(text)?;
    }
    let busybox = find("busybox").ok_or("busybox is not installed")?;
    std::fs::copy(&busybox, tree.join("bin/busybox")).map_err(text)?;
    for applet in run(Command::new(&busybox).arg("--list"))?.lines().filter(|applet| *applet != "busybox") {
        symlink("/bin/busybox", tree.join("bin").join(applet)).map_err(text)?;
    }
    symlink("/bin/busybox", tree.join("sbin/modprobe")).map_err(text)?;
    for program in PROGRAMS {
        let from = find(program).ok_or(format!("{program} is not installed"))?;
        std::fs::copy(&from, tree.join("usr/bin").join(program)).map_err(text)?;
        copy_libraries(&from, tree)?;
    }
    add_modules(tree, modules)?;
    write(&tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n", 0o644)?;
    write(&tree.join("etc/group"), "root:x:0:\n", 0o644)?;
    write(&tree.join("sbin/begin"), BEGIN, 0o755)?;
    write(&tree.join("script"), script, 0o644)?;
    add_programs(tree, files)
}

fn add_modules(tree: &Path, modules: &Path) -> Result<(), String> {
    run(Command::new("cp").arg("-aT").arg(modules).arg(tree.join("lib/modules")))?;
    let release = release(&tree.join("lib/modules"))?;
    run(Command::new("busybox").args(["depmod", "-b"]).arg(tree).arg(&release))?;
    Ok(())
}

fn add_programs(tree: &Path, files: &[(&Path, &str)]) -> Result<(), String> {
    for (from, to) in files {
        let to = tree.join(to.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().ok_or("a path")?).map_err(text)?;
        if is_program(from)? {
            run(Command::new("strip").arg("-s").arg("-o").arg(&to).arg(from))?;
        } else {
            std::fs::copy(from, &to).map_err(text)?;
        }
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755)).map_err(text)?;
    }
    Ok(())
}

/// An ELF file.
fn is_program(path: &Path) -> Result<bool, String> {
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.map(|()| magic == *b"\x7fELF").map_err(|error| format!("{}: {error}", path.display()))
}

/// What ldd(1) names, at the same places.
fn copy_libraries(program: &Path, tree: &Path) -> Result<(), String> {
    let listed = Command::new("ldd").arg(program).output().map_err(text)?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for path in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = tree.join(&path[1..]);
        std::fs::create_dir_all(to.parent().ok_or("a path")?).map_err(text)?;
        std::fs::copy(path, to).map_err(text)?;
    }
    Ok(())
}

fn make_initramfs(root: &Path, tree: &Path, archive: &Path) -> Result<(), String> {
    let release = release(&tree.join("lib/modules"))?;
    let modules = Path::new("lib/modules").join(&release);
    for folder in ["bin", "proc", "dev", "root"].iter().map(|name| root.join(name)).chain([root.join(&modules)]) {
        std::fs::create_dir_all(folder).map_err(text)?;
    }
    let busybox = find("busybox").ok_or("busybox is not installed")?;
    std::fs::copy(busybox, root.join("bin/busybox")).map_err(text)?;
    write(&root.join("init"), INIT, 0o755)?;
    let list = std::fs::read_to_string(tree.join(&modules).join("modules.dep")).map_err(text)?;
    write(&root.join(&modules).join("modules.dep"), &list, 0o644)?;
    // `path: paths it needs`, those of all depths.
    for line in list.lines() {
        let (own, needed) = line.split_once(':').unwrap_or((line, ""));
        let name = Path::new(own).file_stem().and_then(|name| name.to_str()).unwrap_or_default().replace('-', "_");
        if DISK_MODULES.contains(&name.as_str()) {
            for file in std::iter::once(own).chain(needed.split_whitespace()) {
                let to = root.join(&modules).join(file);
                std::fs::create_dir_all(to.parent().ok_or("a path")?).map_err(text)?;
                std::fs::copy(tree.join(&modules).join(file), to).map_err(text)?;
            }
        }
    }
    run(Command::new("busybox").args(["mknod"]).arg(root.join("dev/console")).args(["c", "5", "1"]))?;
    let script = "cd \"$0\" && find . | busybox cpio -o -H newc > \"$1\"";
    run(Command::new("sh").args(["-c", script]).arg(root).arg(archive))?;
    Ok(())
}

/// The one folder of modules.
fn release(modules: &Path) -> Result<String, String> {
    let mut entries = std::fs::read_dir(modules).map_err(text)?;
    let entry = entries.next().ok_or("no modules")?.map_err(text)?;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

fn find(program: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    folders.iter().map(|folder| Path::new(folder).join(program)).find_map(|path| path.canonicalize().ok())
}

/// How fast this machine's clock counts, by its own word.
fn tsc_khz() -> u64 {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("cpu MHz"));
    let mhz: Option<f64> = line.and_then(|line| line.split(':').nth(1)?.trim().parse().ok());
    mhz.map_or(2_000_000, |mhz| (mhz * 1000.0) as u64)
}

fn write(path: &Path, content: &str, mode: u32) -> Result<(), String> {
    std::fs::write(path, content).map_err(text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
