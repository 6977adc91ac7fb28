//! IPv4 routes (`rtnetlink(7)`, `struct rtmsg`).

use std::net::Ipv4Addr;

use super::{
    bits::{nl, rt},
    reply,
    request::Request,
    socket::{Refusal, Socket},
};
use crate::cidr::Cidr;

/// A default route through `gateway` on the link `index`, in place of an earlier one.
#[must_use]
pub fn add_default(index: u32, gateway: Ipv4Addr) -> Request {
    let mut header = [0; rt::RTMSG_LEN];
    header[0] = libc::AF_INET as u8;
    header[4] = rt::RT_TABLE_MAIN;
    header[5] = rt::RTPROT_BOOT;
    header[6] = rt::RT_SCOPE_UNIVERSE;
    header[7] = rt::RTN_UNICAST;
    let mut request = Request::new(rt::NEWROUTE, nl::CREATE | nl::REPLACE, &header);
    request.put(rt::RTA_GATEWAY, &gateway.octets()).number(rt::RTA_OIF, index);
    request
}

/// All destinations that the namespace routes, in every table but `local`; the default route is left out. The second
/// value is the link.
///
/// # Errors
/// The kernel's refusal.
pub fn destinations(socket: &mut Socket) -> Result<Vec<(Cidr, u32)>, Refusal> {
    let mut header = [0; rt::RTMSG_LEN];
    header[0] = libc::AF_INET as u8;
    let mut found = Vec::new();
    socket.dump(&Request::new(rt::GETROUTE, 0, &header), |message| {
        if message.kind != rt::NEWROUTE {
            return Ok(());
        }
        let (head, body) = reply::split(message.body, rt::RTMSG_LEN, "route")?;
        if head[4] == rt::RT_TABLE_LOCAL || head[1] == 0 {
            return Ok(());
        }
        let (mut destination, mut link) = (None, 0);
        for attribute in reply::attributes(body) {
            let (kind, value) = attribute?;
            match (kind, <[u8; 4]>::try_from(value)) {
                (rt::RTA_DST, Ok(octets)) => destination = Cidr::new(octets.into(), head[1]),
                (rt::RTA_OIF, Ok(octets)) => link = u32::from_ne_bytes(octets),
                _ => {}
            }
        }
        found.extend(destination.map(|destination| (destination, link)));
        Ok(())
    })?;
    Ok(found)
}
