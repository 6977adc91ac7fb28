//! The outer machine: Debian's kernel with KVM's modules, an initramfs with everything the test needs, QEMU.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use berth_vm::kernel::{Store, fetch, module};

/// Ten times what it takes on an idle machine.
const LIMIT: Duration = Duration::from_secs(300);
const MEMORY_MIB: u32 = 2560;
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
for module in /modules/*.ko; do insmod $module; done
BERTH_NESTED=1 /nested --ignored --exact inside_of_a_guest --nocapture
poweroff -f
";

/// Copies QEMU with its libraries and firmware to where it looks for them.
const QEMU: &str = "set -e; qemu=/usr/bin/qemu-system-x86_64
for file in $qemu $(ldd $qemu | grep -o '/[^ ]*'); do mkdir -p .$(dirname $file); cp -L $file .$file; done
mkdir -p usr/share/qemu; cp -L /usr/share/qemu/*.bin /usr/share/qemu/*.rom usr/share/qemu/ 2>/dev/null || true
[ -e usr/share/qemu/bios-microvm.bin ] || cp -L /usr/share/seabios/bios-microvm.bin usr/share/qemu/";

/// The program under test.
pub fn berth() -> Option<PathBuf> {
    std::env::var_os("BERTH_TEST_BINARY").map(PathBuf::from).filter(|path| path.exists())
}

/// An outer machine that can be started.
pub struct Prepared {
    kernel: PathBuf,
    initramfs: PathBuf,
}

impl Prepared {
    /// Fetches the kernel, unless an earlier run has, and packs the initramfs. Why not, where it cannot be.
    pub fn new(program: &Path) -> Result<Self, String> {
        for tool in ["qemu-system-x86_64", "busybox", "strip"] {
            let found = ["/usr/bin", "/bin"].iter().any(|directory| Path::new(directory).join(tool).exists());
            if !found {
                return Err(format!("{tool} is not installed"));
            }
        }
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nested");
        let kernel = kernel(&home)?;
        // Whatever fails from here on is no want of the machine's.
        let initramfs = pack(&home, program).unwrap_or_else(|why| panic!("cannot pack the initramfs: {why}"));
        Ok(Self { kernel, initramfs })
    }

    /// Starts it, and waits for its end; everything that it said.
    pub fn run(&self) -> String {
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-M", "q35", "-cpu", "EPYC,+svm"]);
        command.args(["-accel", "tcg,tb-size=256", "-m", &MEMORY_MIB.to_string(), "-serial", "stdio"]);
        command.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(&self.initramfs);
        command.args(["-append", "console=ttyS0 quiet panic=-1 rdinit=/init no_timer_check mitigations=off"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("QEMU starts");
        let mut output = child.stdout.take().expect("piped");
        let reader = std::thread::spawn(move || {
            let mut said = Vec::new();
            let _ = output.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        });
        let started = Instant::now();
        while child.try_wait().expect("wait").is_none() {
            if started.elapsed() > LIMIT {
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        reader.join().expect("reader")
    }
}

/// The outer machine's first file system: this program, the engine's, a kernel for the inner machine, an image.
fn pack(home: &Path, program: &Path) -> Result<PathBuf, String> {
    let stage = home.join("stage");
    let _ = fs::remove_dir_all(&stage);
    for directory in ["bin", "modules", "vm", "proc", "sys", "dev", "run", "image/bin", "image/proc"] {
        fs::create_dir_all(stage.join(directory)).map_err(|error| error.to_string())?;
    }
    let boot = Store::new(&home.join("store")).boot(program).map_err(|error| error.to_string())?;
    copy(&boot.kernel, &stage.join("vm/kernel"))?;
    copy(&boot.initramfs, &stage.join("vm/initramfs"))?;
    for entry in fs::read_dir(home.join("kvm")).map_err(|error| error.to_string())?.flatten() {
        copy(&entry.path(), &stage.join("modules").join(entry.file_name()))?;
    }
    strip(program, &stage.join("berth"))?;
    strip(&std::env::current_exe().map_err(|error| error.to_string())?, &stage.join("nested"))?;
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.exists());
    let busybox = busybox.ok_or("busybox is not installed")?;
    copy(busybox, &stage.join("bin/busybox"))?;
    copy(busybox, &stage.join("image/bin/busybox"))?;
    if std::env::var_os("BERTH_TEST_BESIDE_QEMU").is_some() {
        shell(&stage, QEMU)?;
    }
    fs::write(stage.join("init"), INIT).map_err(|error| error.to_string())?;
    shell(&stage, "chmod 755 init nested berth bin/busybox image/bin/busybox")?;
    let initramfs = home.join("initramfs.cpio");
    shell(&stage, &format!("find . | busybox cpio -o -H newc > {} 2>/dev/null", initramfs.display()))?;
    let _ = fs::remove_dir_all(&stage);
    Ok(initramfs)
}

/// The outer kernel's image. KVM's modules and the store's kernel are kept beside it.
fn kernel(home: &Path) -> Result<PathBuf, String> {
    let image = home.join("vmlinuz");
    if image.exists() {
        return Ok(image);
    }
    let told = |error: berth_vm::Error| error.to_string();
    let source = fetch(home).map_err(told)?;
    let directory = source.modules.clone().ok_or("the kernel has no modules")?;
    Store::new(&home.join("store")).install(&source).map_err(told)?;
    fs::create_dir_all(home.join("kvm")).map_err(|error| error.to_string())?;
    for (index, (name, bytes)) in (0..).zip(module::closure(&directory, &["kvm_amd", "tun"]).map_err(told)?) {
        fs::write(home.join(format!("kvm/{index:02}-{name}.ko")), bytes).map_err(|error| error.to_string())?;
    }
    copy(&source.image, &image)?;
    Ok(image)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(drop).map_err(|error| format!("{}: {error}", from.display()))
}

fn strip(from: &Path, to: &Path) -> Result<(), String> {
    let status = Command::new("strip").arg("-o").arg(to).arg(from).status();
    if status.is_ok_and(|status| status.success()) { Ok(()) } else { Err(format!("cannot strip {}", from.display())) }
}

fn shell(directory: &Path, script: &str) -> Result<(), String> {
    let status = Command::new("sh").args(["-c", script]).current_dir(directory).status();
    if status.is_ok_and(|status| status.success()) { Ok(()) } else { Err(format!("failed: {script}")) }
}
