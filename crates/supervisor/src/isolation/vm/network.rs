//! What the jail's network namespace was given is passed on to the guest's devices.
//!
//! ```text
//! the engine's bridge ── veth ── eth0 ─┐                     in the jail's namespace
//!                                      ├─ vm0 (bridge) ── tap0 ── the guest's eth0
//! ```
//!
//! The namespace gives up the addresses and the hardware address of `eth0`, and the guest takes them: whatever finds the
//! container by its address — published ports, names, other containers — finds the guest. The bridge itself has the
//! address at which the guest finds the resolver, which listens in this namespace.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
};

use berth_sys::{
    interface,
    namespace::{self, bit},
};
use berth_vm::{
    message::{Interface, RESOLVER},
    plan::tap_name,
};
use rustix::io::Errno;

use crate::protocol::Failure;

/// Makes `count` taps that processes of the user `owner` may open, the first of them joined to the devices that the
/// namespace of `pid` has; tells what the guest is to take over. The caller must have a single thread.
///
/// # Errors
/// What the kernel refuses.
pub fn pass_on(pid: i32, owner: u32, count: u32) -> Result<Vec<Interface>, Failure> {
    let refuse = |errno| Failure::errno("join the guest to the container's network", errno);
    let open = |of: &str| {
        File::open(format!("/proc/{of}/ns/net")).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    };
    let (here, there) = (open("self").map_err(refuse)?, open(&pid.to_string()).map_err(refuse)?);
    namespace::join(there.as_fd(), bit::NETWORK).map_err(refuse)?;
    let outcome = inside(owner, count);
    // This process has one thread; in a foreign network it would be of no use.
    namespace::join(here.as_fd(), bit::NETWORK).map_err(refuse)?;
    outcome.map_err(refuse)
}

fn inside(owner: u32, count: u32) -> Result<Vec<Interface>, Errno> {
    let text = |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    let routes = default_routes(&text("route"), &text("ipv6_route"));
    let ipv6 = ipv6_addresses(&text("if_inet6"));
    let mut found = Vec::new();
    let names: Vec<String> = devices(&text("dev")).into_iter().take(count as usize).collect();
    for (index, name) in names.into_iter().enumerate() {
        let mut addresses: Vec<(IpAddr, u8)> = Vec::new();
        addresses.extend(interface::ipv4(&name)?.map(|(address, prefix)| (address.into(), prefix)));
        addresses.extend(ipv6.iter().filter(|one| one.0 == name).map(|one| (one.1.into(), one.2)));
        let gateways = routes.iter().filter(|(device, _)| *device == name).map(|(_, gateway)| *gateway).collect();
        let (mac, mtu) = (interface::hardware_address(&name)?, interface::mtu(&name)?);
        join(index, &name, mtu, owner)?;
        // One way to the resolver is enough.
        let jail = if index == 0 { answer_names(&addresses)? } else { None };
        found.push(Interface { name, mac, mtu, addresses, gateways, jail });
    }
    for index in found.len()..count as usize {
        // A device of the machine without a network behind it.
        interface::make_tap(&tap_name(index), owner)?;
    }
    Ok(found)
}

/// Gives the jail's end of the first bridge the resolver's address, known to the guest alone: it answers no question for
/// it, which others on the network would hear too.
fn answer_names(guests: &[(IpAddr, u8)]) -> Result<Option<[u8; 6]>, Errno> {
    let bridge = "vm0";
    let own: Vec<Ipv4Addr> = guests.iter().filter_map(|(address, _)| to_ipv4(*address)).collect();
    if own.is_empty() {
        return Ok(None);
    }
    std::fs::write(format!("/proc/sys/net/ipv4/conf/{bridge}/arp_ignore"), "8")
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    interface::add_address(bridge, RESOLVER.into(), 32)?;
    for address in own {
        interface::add_host_route(bridge, address)?;
    }
    interface::hardware_address(bridge).map(Some)
}

fn to_ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn join(index: usize, name: &str, mtu: u32, owner: u32) -> Result<(), Errno> {
    let (bridge, tap) = (format!("vm{index}"), tap_name(index));
    interface::make_tap(&tap, owner)?;
    interface::make_bridge(&bridge)?;
    // Frames of the guest may come back from a bridge whose ports reflect them; what learns from those sends the guest's
    // own traffic to the wrong side.
    interface::never_learn(&bridge)?;
    interface::set_mtu(&tap, mtu)?;
    interface::remove_ipv4(name)?;
    interface::set_hardware_address(name, own_mac())?;
    for device in [name, &tap, &bridge] {
        // The addresses of version 6 go too, and no device asks its neighbours for one of its own.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6"), "1");
    }
    interface::join_bridge(&bridge, name)?;
    interface::join_bridge(&bridge, &tap)?;
    interface::up(name)?;
    interface::up(&tap)?;
    interface::up(&bridge)
}

/// A hardware address of our own choice: random, locally administered, of one station.
fn own_mac() -> [u8; 6] {
    let mut mac = [0; 6];
    // Without random numbers it is still no one else's in this namespace.
    let _ = rustix::rand::getrandom(&mut mac, rustix::rand::GetRandomFlags::empty());
    mac[0] = mac[0] & 0xfc | 0x02;
    mac
}

/// Names in `/proc/net/dev`, the loopback left out.
fn devices(dev: &str) -> Vec<String> {
    let names = dev.lines().skip(2).filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned());
    let mut names: Vec<String> = names.filter(|name| name != "lo" && !name.is_empty()).collect();
    names.sort();
    names
}

/// Device, address and prefix length in `/proc/net/if_inet6`, link-local addresses left out.
fn ipv6_addresses(table: &str) -> Vec<(String, Ipv6Addr, u8)> {
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [address, _, prefix, _, _, name] = fields[..] else { return None };
        let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        let prefix = u8::from_str_radix(prefix, 16).ok()?;
        (!address.is_unicast_link_local() && name != "lo").then(|| (name.to_owned(), address, prefix))
    };
    table.lines().filter_map(parse).collect()
}

/// Default routes by device, from `/proc/net/route` and `/proc/net/ipv6_route`.
fn default_routes(ipv4: &str, ipv6: &str) -> Vec<(String, IpAddr)> {
    let mut found = Vec::new();
    for line in ipv4.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [name, "00000000", gateway, ..] = fields[..]
            && let Ok(gateway) = u32::from_str_radix(gateway, 16)
            && gateway != 0
        {
            found.push((name.to_owned(), Ipv4Addr::from(gateway.to_ne_bytes()).into()));
        }
    }
    for line in ipv6.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [destination, "00", _, _, gateway, _, _, _, _, name] = fields[..]
            && destination.bytes().all(|digit| digit == b'0')
            && let Ok(gateway) = u128::from_str_radix(gateway, 16)
            && gateway != 0
        {
            found.push((name.to_owned(), Ipv6Addr::from(gateway).into()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_understood() {
        let ipv4 =
            "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t010011AC\t0003\neth0\t000011AC\t00000000\t0001\n";
        let zero = "0".repeat(32);
        let ipv6 = format!(
            "{zero} 00 {zero} 00 fd000000000000000000000000000001 00000400 0 0 00000003 eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200 lo\n"
        );
        let expected: [(String, IpAddr); 2] =
            [("eth0".to_owned(), [172, 17, 0, 1].into()), ("eth0".to_owned(), "fd00::1".parse().unwrap())];
        assert_eq!(default_routes(ipv4, &ipv6), expected);
        let table =
            "fd000000000000000000000000000005 02 40 00 80 eth0\nfe800000000000000000000000000005 02 40 20 80 eth0\n";
        assert_eq!(ipv6_addresses(table), [("eth0".to_owned(), "fd00::5".parse().unwrap(), 64)]);
        assert_eq!(devices("Inter-|\n face |\n  eth1: 1 2\n    lo: 1\n  eth0: 3\n"), ["eth0", "eth1"]);
        for cut in 0..table.len() {
            let _ = ipv6_addresses(&table[..cut]);
        }
    }
}
