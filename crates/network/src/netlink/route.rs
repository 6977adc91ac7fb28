//! Routes (`rtnetlink(7)`, `struct rtmsg`).

use std::net::IpAddr;

use super::{
    address::Family,
    bits::{nl, rt},
    reply,
    request::Request,
    socket::{Refusal, Socket},
};
use crate::cidr::Cidr;

/// A default route through `gateway` on the link `index`, in place of an earlier one.
#[must_use]
pub fn add_default(index: u32, gateway: impl Into<IpAddr>) -> Request {
    let gateway = gateway.into();
    let mut request = Request::new(rt::NEWROUTE, nl::CREATE | nl::REPLACE, &default_header(gateway.is_ipv4()));
    match gateway {
        IpAddr::V4(gateway) => request.put(rt::RTA_GATEWAY, &gateway.octets()),
        IpAddr::V6(gateway) => request.put(rt::RTA_GATEWAY, &gateway.octets()),
    };
    request.number(rt::RTA_OIF, index);
    request
}

/// A default route straight onto the link `index`, for links without a router (ipvlan's layer 3).
#[must_use]
pub fn add_default_on_link(index: u32, ipv4: bool) -> Request {
    let mut request = Request::new(rt::NEWROUTE, nl::CREATE | nl::REPLACE, &default_header(ipv4));
    request.number(rt::RTA_OIF, index);
    request
}

fn default_header(ipv4: bool) -> [u8; rt::RTMSG_LEN] {
    let mut header = [0; rt::RTMSG_LEN];
    header[0] = if ipv4 { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 };
    header[4] = rt::RT_TABLE_MAIN;
    header[5] = rt::RTPROT_BOOT;
    header[6] = rt::RT_SCOPE_UNIVERSE;
    header[7] = rt::RTN_UNICAST;
    header
}

/// All destinations of one family that the namespace routes, in every table but `local`; the default route is left out. The second
/// value is the link.
///
/// # Errors
/// The kernel's refusal.
pub fn destinations<A: Family>(socket: &mut Socket) -> Result<Vec<(Cidr<A>, u32)>, Refusal> {
    let mut header = [0; rt::RTMSG_LEN];
    header[0] = A::NUMBER;
    let mut found = Vec::new();
    socket.dump(&Request::new(rt::GETROUTE, 0, &header), |message| {
        if message.kind != rt::NEWROUTE {
            return Ok(());
        }
        let (head, body) = reply::split(message.body, rt::RTMSG_LEN, "route")?;
        if head[0] != A::NUMBER || head[4] == rt::RT_TABLE_LOCAL || head[1] == 0 {
            return Ok(());
        }
        let (mut destination, mut link) = (None, 0);
        for attribute in reply::attributes(body) {
            let (kind, value) = attribute?;
            match kind {
                rt::RTA_DST => destination = A::read(value).and_then(|address| Cidr::new(address, head[1])),
                rt::RTA_OIF => link = reply::u32_of(value, "route's link")?,
                _ => {}
            }
        }
        found.extend(destination.map(|destination| (destination, link)));
        Ok(())
    })?;
    Ok(found)
}
