//! Network devices of the host that a container gets (`linux.netDevices`): moved, renamed, and up again with their
//! addresses, which a move takes away.

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use crate::netlink::bits::rt;
use crate::netlink::{Family, Refusal, Request, Socket, address, link};
use crate::{Error, Result};

/// The longest name of a device, in bytes (`IFNAMSIZ` without its end).
const NAME_BYTES_MAX: usize = 15;

/// Moves devices, given as their name on the host and the one inside, into the network namespace of a process.
///
/// # Errors
/// [`Error::Invalid`] for a name that is none, for a process in the host's own network, and for a device that is not there.
pub fn move_all<'a>(devices: impl IntoIterator<Item = (&'a str, &'a str)>, pid: i32) -> Result<()> {
    let invalid = |why: String| Error::Invalid { field: "netDevices", why };
    let open = |of: &str| File::open(format!("/proc/{of}/ns/net")).map_err(|error| invalid(error.to_string()));
    let (namespace, own) = (open(&pid.to_string())?, open("self")?);
    for (name, inside) in devices {
        if inode(&namespace) == inode(&own) {
            return Err(invalid("they need a network namespace of the container's own".to_owned()));
        }
        if !is_plain(name) || !is_plain(inside) {
            return Err(invalid(format!("{name:?} to {inside:?}: not names of network devices")));
        }
        let failed = |refusal| invalid(format!("cannot move the network device {name} into the container: {refusal}"));
        one(name, inside, &namespace).map_err(failed)?;
    }
    Ok(())
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name != "." && name != ".." && !name.contains(['/', ':'])
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
