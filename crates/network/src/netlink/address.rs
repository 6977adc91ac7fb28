//! IPv4 addresses of links (`rtnetlink(7)`, `struct ifaddrmsg`).

use std::net::Ipv4Addr;

use super::{
    bits::{nl, rt},
    reply,
    request::Request,
    socket::{Refusal, Socket},
};
use crate::cidr::Cidr;

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

/// All IPv4 addresses of the namespace: link index, address, subnet.
///
/// # Errors
/// The kernel's refusal.
pub fn list(socket: &mut Socket) -> Result<Vec<(u32, Ipv4Addr, Cidr)>, Refusal> {
    let mut header = [0; rt::IFADDR_LEN];
    header[0] = libc::AF_INET as u8;
    let mut addresses = Vec::new();
    socket.dump(&Request::new(rt::GETADDR, 0, &header), |message| {
        if message.kind != rt::NEWADDR {
            return Ok(());
        }
        let (head, body) = reply::split(message.body, rt::IFADDR_LEN, "address")?;
        let index = reply::u32_of(&head[4..], "address's link")?;
        for attribute in reply::attributes(body) {
            let (kind, value) = attribute?;
            if kind == rt::IFA_LOCAL
                && let Ok(octets) = <[u8; 4]>::try_from(value)
                && let Some(subnet) = Cidr::new(octets.into(), head[1])
            {
                addresses.push((index, octets.into(), subnet));
            }
        }
        Ok(())
    })?;
    Ok(addresses)
}
