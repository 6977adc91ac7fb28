//! Addresses of links (`rtnetlink(7)`, `struct ifaddrmsg`).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    bits::{nl, rt},
    reply,
    request::Request,
    socket::{Refusal, Socket},
};
use crate::cidr::{Address, Cidr};

/// Gives the link `index` an address with its subnet; one that it has already is no error.
#[must_use]
pub fn add(index: u32, address: Ipv4Addr, subnet: Cidr) -> Request {
    let mut header = [0; rt::IFADDR_LEN];
    header[0] = libc::AF_INET as u8;
    header[1] = subnet.prefix();
    header[4..].copy_from_slice(&index.to_ne_bytes());
    let mut request = Request::new(rt::NEWADDR, nl::CREATE | nl::REPLACE, &header);
    request.put(rt::IFA_LOCAL, &address.octets()).put(rt::IFA_ADDRESS, &address.octets());
    request.put(rt::IFA_BROADCAST, &subnet.last().octets());
    request
}

/// The same with an address of IPv6, which serves at once: nobody is asked whether it is taken.
#[must_use]
pub fn add6(index: u32, address: Ipv6Addr, prefix: u8) -> Request {
    let mut header = [0; rt::IFADDR_LEN];
    header[0] = libc::AF_INET6 as u8;
    header[1] = prefix;
    header[2] = rt::IFA_F_NODAD;
    header[4..].copy_from_slice(&index.to_ne_bytes());
    let mut request = Request::new(rt::NEWADDR, nl::CREATE | nl::REPLACE, &header);
    request.put(rt::IFA_LOCAL, &address.octets()).put(rt::IFA_ADDRESS, &address.octets());
    request
}

/// All addresses of one family in the namespace: link index, address, subnet.
///
/// # Errors
/// The kernel's refusal.
pub fn list<A: Family>(socket: &mut Socket) -> Result<Vec<(u32, A, Cidr<A>)>, Refusal> {
    let mut header = [0; rt::IFADDR_LEN];
    header[0] = A::NUMBER;
    let mut addresses = Vec::new();
    socket.dump(&Request::new(rt::GETADDR, 0, &header), |message| {
        if message.kind != rt::NEWADDR {
            return Ok(());
        }
        let (head, body) = reply::split(message.body, rt::IFADDR_LEN, "address")?;
        let index = reply::u32_of(&head[4..], "address's link")?;
        if head[0] != A::NUMBER {
            return Ok(());
        }
        // IPv6 has no local address beside the address, but on links between two ends.
        let (mut plain, mut local) = (None, None);
        for attribute in reply::attributes(body) {
            match attribute? {
                (rt::IFA_LOCAL, value) => local = A::read(value),
                (rt::IFA_ADDRESS, value) => plain = A::read(value),
                _ => {}
            }
        }
        if let Some(address) = local.or(plain)
            && let Some(subnet) = Cidr::new(address, head[1])
        {
            addresses.push((index, address, subnet));
        }
        Ok(())
    })?;
    Ok(addresses)
}

/// An address as rtnetlink writes it.
pub trait Family: Address {
    /// `AF_*`.
    const NUMBER: u8;

    /// Reads an attribute's value.
    fn read(value: &[u8]) -> Option<Self>;
}

impl Family for Ipv4Addr {
    const NUMBER: u8 = libc::AF_INET as u8;

    fn read(value: &[u8]) -> Option<Self> {
        <[u8; 4]>::try_from(value).ok().map(Self::from)
    }
}

impl Family for Ipv6Addr {
    const NUMBER: u8 = libc::AF_INET6 as u8;

    fn read(value: &[u8]) -> Option<Self> {
        <[u8; 16]>::try_from(value).ok().map(Self::from)
    }
}
