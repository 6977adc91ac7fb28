//! The way from the engine's network to others: a program that speaks for it with ordinary sockets, pasta (Debian package
//! passt) or slirp4netns.
//!
//! Both give the device `tap0` the addresses below. The host's own loopback addresses are not reachable by it.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use berth_sys::process;

/// The device inside.
const DEVICE: &str = "tap0";
const ADDRESS: &str = "10.0.2.100";
const GATEWAY: &str = "10.0.2.2";
/// Who answers questions about names, by the host's own name servers.
pub const NAME_SERVER: &str = "10.0.2.3";
/// How long it may take to give the device its addresses.
const BEGIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// The program that runs.
pub fn kind(exec_root: &Path) -> Option<String> {
    let dir = super::place::dir(exec_root);
    running(&dir)?;
    fs::read_to_string(dir.join("uplink")).ok()
}

/// Starts it where none runs.
///
/// # Errors
/// Neither program is there, or they fail.
pub fn ensure(dir: &Path, holder: u32) -> Result<()> {
    if running(dir).is_some() {
        return Ok(());
    }
    let mut reasons = Vec::new();
    for (name, command) in [("pasta", pasta(dir, holder)), ("slirp4netns", slirp4netns(holder))] {
        match start(dir, holder, name, command) {
            Ok(()) => return Ok(()),
            Err(error) => reasons.push(format!("{name}: {error:#}")),
        }
    }
    Err(anyhow!("{} (Debian packages passt, slirp4netns)", reasons.join("; ")))
}

fn pasta(dir: &Path, holder: u32) -> Command {
    let mut command = Command::new("pasta");
    command.args(["--config-net", "--foreground", "--no-map-gw", "-I", DEVICE]);
    command.args(["-a", ADDRESS, "-n", "24", "-g", GATEWAY, "--dns-forward", NAME_SERVER, "-4"]);
    // Ports are carried by the holder, one by one.
    command.args(["-t", "none", "-u", "none", "-T", "none", "-U", "none"]);
    command.arg("--log-file").arg(dir.join("uplink.log")).arg(holder.to_string());
    command
}

fn slirp4netns(holder: u32) -> Command {
    let mut command = Command::new("slirp4netns");
    command.args(["--configure", "--mtu=65520", "--disable-host-loopback"]);
    command.arg(format!("--userns-path=/proc/{holder}/ns/user")).arg(holder.to_string()).arg(DEVICE);
    command
}

fn start(dir: &Path, holder: u32, name: &str, mut command: Command) -> Result<()> {
    let log = dir.join("uplink.err");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
    // The daemon may be ended by a signal to its group.
    let mut child = command.process_group(0).spawn().context("cannot be run")?;
    let begun = Instant::now();
    while !has_device(holder) {
        if let Some(status) = child.try_wait()? {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let last: Vec<&str> = said.lines().filter(|line| !line.contains("syslog")).collect();
            bail!("it ended ({status}): {}", last.join("; "));
        }
        if begun.elapsed() > BEGIN {
            let _ = child.kill();
            let _ = child.wait();
            bail!("it gave no network within {} s", BEGIN.as_secs());
        }
        thread::sleep(PAUSE);
    }
    note(dir, &child, name)
}

fn note(dir: &Path, child: &Child, name: &str) -> Result<()> {
    let birth = process::birth(child.id() as i32).context("it ended at once")?;
    fs::write(dir.join("uplink.pid"), format!("{} {birth}", child.id()))?;
    fs::write(dir.join("uplink"), name)?;
    Ok(())
}

fn running(dir: &Path) -> Option<i32> {
    let text = fs::read_to_string(dir.join("uplink.pid")).ok()?;
    let (pid, birth) = text.trim().split_once(' ')?;
    let pid: i32 = pid.parse().ok()?;
    (process::birth(pid)?.to_string() == birth).then_some(pid)
}

/// Whether the holder's network has the device (proc(5), `/proc/<pid>/net/dev`) with a route by it.
fn has_device(holder: u32) -> bool {
    fs::read_to_string(format!("/proc/{holder}/net/route")).is_ok_and(|text| text.contains(DEVICE))
}

/// Ends it.
pub fn end(dir: &Path) {
    if let Some(pid) = running(dir) {
        let _ = process::send_signal(pid, rustix::process::Signal::TERM.as_raw());
    }
    let _ = fs::remove_file(dir.join("uplink.pid"));
}
