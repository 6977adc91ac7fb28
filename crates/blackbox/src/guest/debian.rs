//! A guest's system with systemd in it: Debian's, made once by mmdebstrap(1) and kept beside the program under test.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{add_modules, add_programs, release, run, text, write};

const PACKAGES: &str = "systemd-sysv,dbus,iproute2,kmod,busybox-static,uidmap";

/// The script as a service, on the console, and the machine's end after it.
const SERVICE: &str = "[Unit]
After=multi-user.target dbus.service

[Service]
Type=oneshot
TimeoutStartSec=infinity
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/sh -c 'echo GUEST-UP; sh /script; echo GUEST-EXIT $?; sync; systemctl poweroff --force --force'

[Install]
WantedBy=default.target
";

pub(super) fn make_tree(tree: &Path, modules: &Path, script: &str, files: &[(&Path, &str)]) -> Result<(), String> {
    let archive = obtain()?;
    std::fs::create_dir_all(tree).map_err(text)?;
    run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(tree))?;
    std::fs::create_dir_all(tree.join("lib/modules")).map_err(text)?;
    add_modules(tree, modules)?;
    // Debian's modprobe reads an index that BusyBox does not write.
    run(Command::new("chroot").arg(tree).args(["/sbin/depmod", &release(&tree.join("lib/modules"))?]))?;
    // Without udev nobody announces the console's device, which a login there would wait for.
    let getty = tree.join("etc/systemd/system/serial-getty@ttyS0.service");
    std::os::unix::fs::symlink("/dev/null", getty).map_err(text)?;
    write(&tree.join("script"), script, 0o644)?;
    write(&tree.join("etc/systemd/system/script.service"), SERVICE, 0o644)?;
    let wants = tree.join("etc/systemd/system/default.target.wants");
    std::fs::create_dir_all(&wants).map_err(text)?;
    std::os::unix::fs::symlink("/etc/systemd/system/script.service", wants.join("script.service")).map_err(text)?;
    add_programs(tree, files)
}

/// The archive, made when there is none: a minute, and packages from a mirror.
fn obtain() -> Result<PathBuf, String> {
    if !crate::command::is_installed("mmdebstrap") {
        return Err("mmdebstrap is not installed".to_owned());
    }
    let folder = crate::engine::binary().parent().unwrap_or(Path::new("/tmp")).to_owned();
    // Named by what is in it, so that a longer list makes another.
    let archive = folder.join(format!("systemd-root-{}.tar", PACKAGES.split(',').count()));
    if !archive.exists() {
        let draft = tempfile::Builder::new().suffix(".tar").tempfile_in(&folder).map_err(text)?;
        let include = format!("--include={PACKAGES}");
        run(Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", &include, "bookworm"])
            .arg(draft.path())
            .env("TMPDIR", "/var/tmp"))
        .map_err(|said| format!("no system for guests: {said}"))?;
        draft.persist(&archive).map_err(text)?;
    }
    Ok(archive)
}
