//! `berth rootless DIR`: the process whose namespaces are those of all daemons of a user.

use std::{
    ffi::OsString,
    fs,
    io::{self, BufRead as _, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result};
use berth_network::relay::{self, Binder};
use berth_sys::{
    namespace::{self, bit},
    process,
};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};

use super::uplink;

/// What it says when its ids can be mapped.
pub const UNSHARED: &str = "unshared";
/// What it says when all is there.
pub const READY: &str = "ready";

/// Notes who holds the namespaces.
pub fn note(dir: &Path, pid: u32) -> Result<()> {
    let birth = process::birth(pid as i32).context("the process that holds the namespaces ended at once")?;
    fs::write(dir.join("holder"), format!("{pid} {birth}")).context("cannot note who holds the namespaces")
}

/// Who holds the namespaces, if it lives.
pub fn find(dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(dir.join("holder")).ok()?;
    let (pid, birth) = text.trim().split_once(' ')?;
    let pid: u32 = pid.parse().ok()?;
    (process::birth(pid as i32)?.to_string() == birth).then_some(pid)
}

/// Ends it.
pub fn end(dir: &Path) {
    if let Some(pid) = find(dir) {
        // It may end by itself meanwhile.
        let _ = process::send_signal(pid as i32, rustix::process::Signal::KILL.as_raw());
    }
    let _ = fs::remove_file(dir.join("holder"));
}

/// Runs it; started by a daemon that is outside yet, which maps the ids when it is told so.
pub fn hold(dir: Option<OsString>) -> ExitCode {
    let Some(dir) = dir else {
        eprintln!("berth rootless: it is started by the daemon, with a directory");
        return ExitCode::from(125);
    };
    match run(Path::new(&dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(dir: &Path) -> Result<()> {
    namespace::unshare(bit::USER | bit::MOUNT).context("this machine lets no ordinary user make a user namespace")?;
    // Only then is what /proc shows of it the user's, whose programs map the ids.
    process::set_dumpable(true)?;
    say(UNSHARED)?;
    io::stdin().lock().read_line(&mut String::new())?;
    process::become_user(0, 0, &[]).context("cannot become root of the user namespace")?;
    process::set_dumpable(true)?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context("cannot keep mounts to ourselves")?;
    let binder = Binder::stay()?;
    namespace::unshare(bit::NETWORK).context("cannot make a network namespace")?;
    berth_sys::network::loopback_up()?;
    name_server(dir).context("cannot show the uplink as the name server")?;
    let _ = process::new_session();
    let _ = process::set_name(c"berth-rootless");
    say(READY)?;
    detach()?;
    relay::hold(dir, binder).context("cannot carry ports")
}

/// In there the host's name server may be out of reach (systemd-resolved's is on the loopback device): the uplink's is not.
fn name_server(dir: &Path) -> Result<()> {
    let path = dir.join("resolv.conf");
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let others = host.lines().filter(|line| !line.trim_start().starts_with("nameserver"));
    let text: String = others.map(|line| format!("{line}\n")).collect();
    fs::write(&path, format!("nameserver {}\n{text}", uplink::NAME_SERVER))?;
    mount_bind(&path, "/etc/resolv.conf")?;
    Ok(())
}

fn say(word: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{word}")?;
    out.flush()
}

/// The pipes to the daemon are not needed any more, and would tie it to this process.
fn detach() -> io::Result<()> {
    let null = fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}
