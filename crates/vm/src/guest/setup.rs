//! What a guest is told once: its root file system, its disk, its addresses, the time.

use std::{fs, net::IpAddr, path::Path};

use berth_sys::{interface, mount::attr};

use super::{
    DISK, FILES, LOWER, ROOT_SERIAL, ROOTFS, SHARE, UPPER_SERIAL,
    boot::{disk, make_directory, mount},
};
use crate::{
    Error, Result,
    message::{Interface, RESOLVER, Setup, Upper},
};

/// Does all of it. Whatever fails, the guest cannot have its container.
pub(super) fn all(setup: &Setup) -> Result<()> {
    set_clock(setup.now_ns)?;
    mix_entropy(&setup.entropy)?;
    berth_sys::namespace::set_host_name(setup.host_name.as_bytes()).map_err(Error::system("set the host name"))?;
    root(&setup.upper)?;
    if let Some(tag) = &setup.share {
        make_directory(Path::new(SHARE))?;
        mount("virtiofs", Path::new(SHARE), &[("source", tag)], attr::NO_SUID | attr::NO_DEV)?;
    }
    files(&setup.files)?;
    for (index, interface) in setup.interfaces.iter().enumerate() {
        network(index, interface).map_err(Error::system("set up a network device"))?;
    }
    for (name, value) in &setup.sysctls {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        fs::write(&path, value).map_err(Error::file("write", &path))?;
    }
    Ok(())
}

fn set_clock(now_ns: i64) -> Result<()> {
    let now = rustix::time::Timespec { tv_sec: now_ns / 1_000_000_000, tv_nsec: now_ns % 1_000_000_000 };
    rustix::time::clock_settime(rustix::time::ClockId::Realtime, now).map_err(Error::system("set the clock"))
}

fn mix_entropy(hexadecimal: &str) -> Result<()> {
    let digits: Vec<u8> = hexadecimal.chars().filter_map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    berth_sys::random::reseed(&bytes).map_err(Error::system("mix in random bytes"))
}

/// The image with the changes over it.
fn root(upper: &Upper) -> Result<()> {
    for path in [LOWER, DISK, ROOTFS] {
        make_directory(Path::new(path))?;
    }
    let image = disk(ROOT_SERIAL)?;
    mount_disk(&image, Path::new(LOWER), attr::READ_ONLY)?;
    match upper {
        Upper::Disk => mount_disk(&disk(UPPER_SERIAL)?, Path::new(DISK), 0)?,
        Upper::Memory { bytes } => {
            mount("tmpfs", Path::new(DISK), &[("size", &bytes.to_string()), ("mode", "755")], 0)?
        }
        Upper::None => mount("tmpfs", Path::new(DISK), &[("size", "16m"), ("mode", "755")], 0)?,
    }
    let (upper, work) = (format!("{DISK}/upper"), format!("{DISK}/work"));
    if !Path::new(&upper).exists() {
        make_directory(Path::new(&upper))?;
        // The top of the tree is the image's: overlay shows the upper directory's owner and mode.
        let facts = rustix::fs::stat(LOWER).map_err(Error::system("read the image's root"))?;
        let owner = (rustix::fs::Uid::from_raw(facts.st_uid), rustix::fs::Gid::from_raw(facts.st_gid));
        rustix::fs::chown(&*upper, Some(owner.0), Some(owner.1))
            .and_then(|()| rustix::fs::chmod(&*upper, rustix::fs::Mode::from_raw_mode(facts.st_mode & 0o7777)))
            .map_err(Error::system("prepare the upper directory"))?;
    }
    make_directory(Path::new(&work))?;
    let options = [("lowerdir", LOWER), ("upperdir", upper.as_str()), ("workdir", work.as_str())];
    mount("overlay", Path::new(ROOTFS), &options, 0)
}

/// Mounts a disk by what is on it (the magic numbers of `linux/magic.h`, at their places).
fn mount_disk(device: &Path, target: &Path, attributes: u64) -> Result<()> {
    use std::io::Read as _;
    let mut head = vec![0; 2048];
    fs::File::open(device).and_then(|mut file| file.read_exact(&mut head)).map_err(Error::file("read", device))?;
    let kind = if head[1024..1028] == 0xe0f5_e1e2_u32.to_le_bytes() {
        "erofs"
    } else if head[1024 + 0x38..1024 + 0x3a] == 0xef53_u16.to_le_bytes() {
        "ext4"
    } else {
        return Err(Error::malformed(device.display().to_string(), "there is no file system on it that a guest knows"));
    };
    let source = device.to_string_lossy();
    let mut options = vec![("source", source.as_ref())];
    if attributes & attr::READ_ONLY != 0 {
        options.push(("ro", ""));
    }
    mount(kind, target, &options, attributes)
}

fn files(contents: &[Vec<u8>]) -> Result<()> {
    make_directory(Path::new(FILES))?;
    for (index, bytes) in contents.iter().enumerate() {
        let path = Path::new(FILES).join(index.to_string());
        fs::write(&path, bytes).map_err(Error::file("write", &path))?;
    }
    Ok(())
}

/// The `index`th device of the machine becomes this interface.
fn network(index: usize, wanted: &Interface) -> berth_sys::Result<()> {
    let found = device(index, wanted.mac).ok_or(berth_sys::Errno::NODEV)?;
    if found != wanted.name {
        interface::rename(&found, &wanted.name)?;
    }
    interface::set_hardware_address(&wanted.name, wanted.mac)?;
    if wanted.mtu != 0 {
        interface::set_mtu(&wanted.name, wanted.mtu)?;
    }
    if wanted.addresses.iter().any(|(address, _)| address.is_ipv6()) {
        // An address that nobody else can have need not be asked for.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{}/accept_dad", wanted.name), "0");
    }
    interface::up(&wanted.name)?;
    for (address, prefix) in &wanted.addresses {
        interface::add_address(&wanted.name, *address, *prefix)?;
    }
    if let Some(station) = wanted.jail {
        interface::set_neighbour(&wanted.name, RESOLVER, station)?;
        interface::add_host_route(&wanted.name, RESOLVER)?;
    }
    for gateway in &wanted.gateways {
        match (interface::add_default_route(&wanted.name, *gateway), gateway) {
            (Err(errno), IpAddr::V4(_)) => return Err(errno),
            (Err(errno), IpAddr::V6(_)) => eprintln!("berth guest: no route through {gateway}: {errno}"),
            _ => {}
        }
    }
    Ok(())
}

/// The device with this address; else, as a machine restored from a template has other addresses, the `index`th by name.
fn device(index: usize, mac: [u8; 6]) -> Option<String> {
    let mut names: Vec<String> = fs::read_dir("/sys/class/net")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Path::new("/sys/class/net").join(name).join("device").exists())
        .collect();
    names.sort();
    let text = mac.map(|byte| format!("{byte:02x}")).join(":");
    let own = |name: &&String| {
        fs::read_to_string(format!("/sys/class/net/{name}/address")).is_ok_and(|address| address.trim() == text)
    };
    names.iter().find(own).or_else(|| names.get(index)).cloned()
}
