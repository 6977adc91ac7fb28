//! Network devices of the host that a container gets (`linux.netDevices`): moved, renamed, and up again with their
//! addresses, which a move takes away.

use std::collections::HashMap;
use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use berth_network::netlink::bits::rt;
use berth_network::netlink::{Family, Refusal, Request, Socket, address, link};
use oci_spec::runtime::LinuxNetDevice;

use crate::error::{Error, Result};

/// The longest name of a device, in bytes (`IFNAMSIZ` without its end).
const NAME_BYTES_MAX: usize = 15;

/// Moves every device into the network namespace of the process.
pub fn move_all(devices: &HashMap<String, LinuxNetDevice>, pid: i32) -> Result<()> {
    let path = std::path::PathBuf::from(format!("/proc/{pid}/ns/net"));
    let namespace = File::open(&path).map_err(Error::file("open", &path))?;
    let own = File::open("/proc/self/ns/net").map_err(Error::file("open", &path))?;
    if inode(&namespace) == inode(&own) && !devices.is_empty() {
        return Err(Error::Usage(String::from("netDevices need a network namespace of the container's own")));
    }
    for (name, device) in devices {
        let inside = device.name().as_deref().filter(|name| !name.is_empty()).unwrap_or(name);
        let plain = |name: &str| {
            !name.is_empty()
                && name.len() <= NAME_BYTES_MAX
                && name != "."
                && name != ".."
                && !name.contains(['/', ':'])
        };
        if !plain(name) || !plain(inside) {
            return Err(Error::Usage(format!("{name:?} to {inside:?}: not names of network devices")));
        }
        one(name, inside, &namespace).map_err(|refusal| {
            Error::Missing(format!("cannot move the network device {name} into the container: {refusal}"))
        })?;
    }
    Ok(())
}

fn one(name: &str, inside: &str, namespace: &File) -> std::result::Result<(), Refusal> {
    let mut here = Socket::open(Family::Route)?;
    let missing = || Refusal::Socket { act: "find the device", errno: rustix::io::Errno::NODEV };
    let device = link::find(&mut here, name)?.ok_or_else(missing)?;
    let fours = address::list::<Ipv4Addr>(&mut here)?;
    let sixes = address::list::<Ipv6Addr>(&mut here)?;
    let mut header = [0; rt::IFINFO_LEN];
    header[4..8].copy_from_slice(&device.index.to_ne_bytes());
    let mut request = Request::new(rt::NEWLINK, 0, &header);
    request.put(rt::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes()).text(rt::IFLA_IFNAME, inside);
    here.transact(vec![request])?;
    let mut there = Socket::open_in(namespace.as_fd(), Family::Route)?;
    let moved = link::find(&mut there, inside)?.ok_or_else(missing)?;
    let mut requests = vec![link::up(moved.index)];
    let of = |index: u32| index == device.index;
    requests.extend(fours.iter().filter(|(i, ..)| of(*i)).map(|(_, ip, net)| address::add(moved.index, *ip, *net)));
    let lasting = sixes.iter().filter(|(i, ip, _)| of(*i) && !ip.is_unicast_link_local());
    requests.extend(lasting.map(|(_, ip, net)| address::add6(moved.index, *ip, net.prefix())));
    there.transact(requests)
}

fn inode(file: &File) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    file.metadata().ok().map(|metadata| metadata.ino())
}
