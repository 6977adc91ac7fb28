//! Network devices by `ioctl(2)`: naming, addressing and routing them (netdevice(7)), and taps (Documentation/networking/
//! tuntap.rst). For programs that have no use for netlink: a guest's agent sets up one device, once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::{Errno, Result, check};

/// Names are shorter than this, with their final NUL.
const NAME_BYTES: usize = 16;
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETPERSIST: libc::c_ulong = 0x4004_54cb;
const TUNSETOWNER: libc::c_ulong = 0x4004_54cc;
/// linux/sockios.h.
const SIOCDEVPRIVATE: libc::c_ulong = 0x89f0;
const SIOCBRADDBR: libc::c_ulong = 0x89a0;
const SIOCBRADDIF: libc::c_ulong = 0x89a2;
const ARPHRD_ETHER: u16 = 1;

/// `struct in6_ifreq` (linux/ipv6.h).
#[repr(C)]
struct Address6 {
    address: [u8; 16],
    prefix: u32,
    index: libc::c_int,
}

/// `struct in6_rtmsg` (linux/ipv6_route.h).
#[repr(C)]
struct Route6 {
    destination: [u8; 16],
    source: [u8; 16],
    gateway: [u8; 16],
    kind: u32,
    destination_len: u16,
    source_len: u16,
    metric: u32,
    info: libc::c_ulong,
    flags: u32,
    index: libc::c_int,
}

/// Sets the hardware address of the device `name`, which must be down for most drivers.
pub fn set_hardware_address(name: &str, address: [u8; 6]) -> Result<()> {
    let mut request = named(name)?;
    let mut data = [0; 14];
    for (slot, byte) in data.iter_mut().zip(address) {
        *slot = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_hwaddr = libc::sockaddr { sa_family: ARPHRD_ETHER, sa_data: data };
    control(AddressFamily::INET, libc::SIOCSIFHWADDR, &mut request)
}

/// The hardware address of a device.
pub fn hardware_address(name: &str) -> Result<[u8; 6]> {
    let mut request = named(name)?;
    control(AddressFamily::INET, libc::SIOCGIFHWADDR, &mut request)?;
    // SAFETY: SIOCGIFHWADDR has filled this member of the union.
    let data = unsafe { request.ifr_ifru.ifru_hwaddr.sa_data };
    Ok(std::array::from_fn(|index| data[index] as u8))
}

/// The largest packet in bytes.
pub fn mtu(name: &str) -> Result<u32> {
    let mut request = named(name)?;
    control(AddressFamily::INET, libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: SIOCGIFMTU has filled this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_mtu } as u32)
}

/// The first IPv4 address of a device and its prefix length; `None` without one.
pub fn ipv4(name: &str) -> Result<Option<(Ipv4Addr, u8)>> {
    let read = |number| {
        let mut request = named(name)?;
        control(AddressFamily::INET, number, &mut request)?;
        // SAFETY: both requests fill this member of the union.
        let data = unsafe { request.ifr_ifru.ifru_addr.sa_data };
        Ok(Ipv4Addr::new(data[2] as u8, data[3] as u8, data[4] as u8, data[5] as u8))
    };
    match read(libc::SIOCGIFADDR) {
        Ok(address) => Ok(Some((address, u32::from(read(libc::SIOCGIFNETMASK)?).leading_ones() as u8))),
        Err(Errno::ADDRNOTAVAIL) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Takes the first IPv4 address of a device away; none is no error.
pub fn remove_ipv4(name: &str) -> Result<()> {
    let mut request = named(name)?;
    request.ifr_ifru.ifru_addr = socket_address(Ipv4Addr::UNSPECIFIED);
    match control(AddressFamily::INET, libc::SIOCSIFADDR, &mut request) {
        Err(Errno::ADDRNOTAVAIL) => Ok(()),
        outcome => outcome,
    }
}

/// Makes a bridge, down, without ports; its spanning tree protocol is off, so its ports forward at once.
pub fn make_bridge(name: &str) -> Result<()> {
    let mut name = named(name)?.ifr_name;
    control(AddressFamily::INET, SIOCBRADDBR, &mut name)
}

/// Makes `port` a port of `bridge`.
pub fn join_bridge(bridge: &str, port: &str) -> Result<()> {
    let mut request = named(bridge)?;
    request.ifr_ifru.ifru_ifindex = index(port)?;
    control(AddressFamily::INET, SIOCBRADDIF, &mut request)
}

/// Lets a bridge learn no addresses: it then passes each frame on to all other ports, like a hub.
pub fn never_learn(bridge: &str) -> Result<()> {
    // linux/if_bridge.h: the old interface takes four words; an ageing time of nothing is "learn nothing".
    const SET_AGEING_TIME: libc::c_ulong = 11;
    let mut words: [libc::c_ulong; 4] = [SET_AGEING_TIME, 0, 0, 0];
    let mut request = named(bridge)?;
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    control(AddressFamily::INET, SIOCDEVPRIVATE, &mut request)
}

/// Renames a device that is down.
pub fn rename(name: &str, new_name: &str) -> Result<()> {
    let mut request = named(name)?;
    request.ifr_ifru.ifru_newname = named(new_name)?.ifr_name;
    control(AddressFamily::INET, libc::SIOCSIFNAME, &mut request)
}

/// Sets the largest packet in bytes.
pub fn set_mtu(name: &str, mtu: u32) -> Result<()> {
    let mut request = named(name)?;
    request.ifr_ifru.ifru_mtu = mtu as libc::c_int;
    control(AddressFamily::INET, libc::SIOCSIFMTU, &mut request)
}

/// Brings a device up.
pub fn up(name: &str) -> Result<()> {
    let mut request = named(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    control(AddressFamily::INET, libc::SIOCSIFFLAGS, &mut request)
}

/// Gives a device an address with its prefix length in bits.
pub fn add_address(name: &str, address: IpAddr, prefix: u8) -> Result<()> {
    match address {
        IpAddr::V4(address) => {
            let mut request = named(name)?;
            request.ifr_ifru.ifru_addr = socket_address(address);
            control(AddressFamily::INET, libc::SIOCSIFADDR, &mut request)?;
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            request.ifr_ifru.ifru_netmask = socket_address(Ipv4Addr::from(mask));
            control(AddressFamily::INET, libc::SIOCSIFNETMASK, &mut request)
        }
        IpAddr::V6(address) => {
            let index = index(name)?;
            let mut request = Address6 { address: address.octets(), prefix: prefix.into(), index };
            control(AddressFamily::INET6, libc::SIOCSIFADDR, &mut request)
        }
    }
}

/// Makes `gateway` the way to everything that is not nearer; the device must be up.
pub fn add_default_route(name: &str, gateway: IpAddr) -> Result<()> {
    const UP: u16 = 1;
    const GATEWAY: u16 = 2;
    match gateway {
        IpAddr::V4(gateway) => {
            let mut device: [libc::c_char; NAME_BYTES] = named(name)?.ifr_name;
            // SAFETY: all-zero is a valid rtentry.
            let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
            route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
            route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
            route.rt_gateway = socket_address(gateway);
            route.rt_flags = UP | GATEWAY;
            route.rt_dev = device.as_mut_ptr();
            control(AddressFamily::INET, libc::SIOCADDRT, &mut route)
        }
        IpAddr::V6(gateway) => {
            let mut route = Route6 {
                destination: Ipv6Addr::UNSPECIFIED.octets(),
                source: Ipv6Addr::UNSPECIFIED.octets(),
                gateway: gateway.octets(),
                kind: 0,
                destination_len: 0,
                source_len: 0,
                metric: 1,
                info: 0,
                flags: u32::from(UP | GATEWAY),
                index: index(name)?,
            };
            control(AddressFamily::INET6, libc::SIOCADDRT, &mut route)
        }
    }
}

/// Makes a device the way to one address.
pub fn add_host_route(name: &str, address: Ipv4Addr) -> Result<()> {
    const UP: u16 = 1;
    const HOST: u16 = 4;
    let mut device: [libc::c_char; NAME_BYTES] = named(name)?.ifr_name;
    // SAFETY: all-zero is a valid rtentry.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = socket_address(address);
    route.rt_genmask = socket_address(Ipv4Addr::BROADCAST);
    route.rt_gateway = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_flags = UP | HOST;
    route.rt_dev = device.as_mut_ptr();
    control(AddressFamily::INET, libc::SIOCADDRT, &mut route)
}

/// Tells the kernel for good which station of a device has an address (arp(7)), so that it need not ask.
pub fn set_neighbour(name: &str, address: Ipv4Addr, station: [u8; 6]) -> Result<()> {
    const COMPLETE_FOR_GOOD: libc::c_int = 0x02 | 0x04;
    // SAFETY: all-zero is a valid arpreq.
    let mut request: libc::arpreq = unsafe { std::mem::zeroed() };
    request.arp_pa = socket_address(address);
    let mut data = [0; 14];
    for (slot, byte) in data.iter_mut().zip(station) {
        *slot = byte as libc::c_char;
    }
    request.arp_ha = libc::sockaddr { sa_family: ARPHRD_ETHER, sa_data: data };
    request.arp_flags = COMPLETE_FOR_GOOD;
    request.arp_dev = named(name)?.ifr_name;
    control(AddressFamily::INET, libc::SIOCSARP, &mut request)
}

/// Makes a tap called `name` in the caller's network namespace that lasts, and that processes of the user `owner` may
/// open without any capability. Frames come with a virtio header, as a monitor wants them.
pub fn make_tap(name: &str, owner: u32) -> Result<()> {
    let device = open_tap(name)?;
    // SAFETY: the argument is a number.
    check(unsafe { libc::ioctl(device.as_raw_fd(), TUNSETOWNER as _, libc::c_ulong::from(owner)) }.into())?;
    // SAFETY: the argument is a number.
    check(unsafe { libc::ioctl(device.as_raw_fd(), TUNSETPERSIST as _, 1 as libc::c_ulong) }.into())?;
    Ok(())
}

/// Opens the tap `name`, making one that goes with the descriptor when there is none.
pub fn open_tap(name: &str) -> Result<OwnedFd> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::NONBLOCK;
    let device = rustix::fs::open("/dev/net/tun", flags, rustix::fs::Mode::empty())?;
    let mut request = named(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes an ifreq, which is alive.
    check(unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF as _, &raw mut request) }.into())?;
    Ok(device)
}

fn named(name: &str) -> Result<libc::ifreq> {
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= NAME_BYTES || name.contains('\0') {
        return Err(Errno::INVAL);
    }
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *slot = byte as libc::c_char;
    }
    Ok(request)
}

fn index(name: &str) -> Result<libc::c_int> {
    let mut request = named(name)?;
    control(AddressFamily::INET, libc::SIOCGIFINDEX, &mut request)?;
    // SAFETY: SIOCGIFINDEX has filled this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}

/// A `sockaddr` that is a `sockaddr_in`: both are 16 bytes, family, port, then the address in network order.
fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (slot, byte) in data[2..6].iter_mut().zip(address.octets()) {
        *slot = byte as libc::c_char;
    }
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: data }
}

/// One request on a socket made for it. `T` must be what the kernel takes for `number`.
fn control<T>(family: AddressFamily, number: libc::c_ulong, request: &mut T) -> Result<()> {
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: the callers above pair each number with its structure, which is alive and writable.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), number as _, std::ptr::from_mut(request)) }.into())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_is_made_named_and_addressed_in_a_namespace_of_its_own() {
        let worked = std::thread::spawn(|| {
            if crate::namespace::unshare(crate::namespace::bit::NETWORK).is_err()
                || !std::path::Path::new("/dev/net/tun").exists()
            {
                return false;
            }
            make_tap("tap0", 1000).expect("tap");
            set_hardware_address("tap0", [2, 0, 0, 0, 0, 7]).expect("hardware address");
            set_mtu("tap0", 1400).expect("mtu");
            rename("tap0", "eth0").expect("rename");
            add_address("eth0", "10.9.8.7".parse().expect("address"), 24).expect("address");
            up("eth0").expect("up");
            add_default_route("eth0", "10.9.8.1".parse().expect("gateway")).expect("route");
            let routes = std::fs::read_to_string("/proc/thread-self/net/route").expect("routes");
            assert!(routes.contains("eth0\t00000000\t0108090A\t0003"), "{routes}");
            assert!(routes.contains("0008090A\t00000000\t0001\t0\t0\t0\t00FFFFFF"), "{routes}");
            assert_eq!(hardware_address("eth0"), Ok([2, 0, 0, 0, 0, 7]));
            assert_eq!((mtu("eth0"), ipv4("eth0")), (Ok(1400), Ok(Some((Ipv4Addr::new(10, 9, 8, 7), 24)))));
            add_host_route("eth0", Ipv4Addr::new(169, 254, 0, 11)).expect("host route");
            set_neighbour("eth0", Ipv4Addr::new(169, 254, 0, 11), [2, 0, 0, 0, 0, 9]).expect("neighbour");
            let known = std::fs::read_to_string("/proc/thread-self/net/arp").expect("neighbours");
            assert!(known.contains("169.254.0.11") && known.contains("02:00:00:00:00:09"), "{known}");
            remove_ipv4("eth0").expect("remove the address");
            assert_eq!(ipv4("eth0"), Ok(None));
            make_bridge("vm0").expect("bridge");
            join_bridge("vm0", "eth0").expect("join");
            never_learn("vm0").expect("a hub");
            assert_eq!(set_mtu("eth1", 1400), Err(Errno::NODEV));
            assert_eq!(up("a-name-that-is-too-long"), Err(Errno::INVAL));
            true
        });
        if !worked.join().expect("test") {
            println!("skipped: needs root and /dev/net/tun");
        }
    }
}
