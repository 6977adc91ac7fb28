//! Links: veth pairs, bridges, and what the kernel says of a link (`rtnetlink(7)`, `struct ifinfomsg`).

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{
    bits::{nl, rt},
    reply::{self, Malformed},
    request::Request,
    socket::{Refusal, Socket},
};

/// A link as the kernel describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// `bridge`, `veth`, …; empty for physical ones.
    pub kind: String,
    /// The bridge it belongs to, 0 for none.
    pub master: u32,
    /// Whether it is up.
    pub up: bool,
    /// Whether it carries frames: it is up, and so is its other end.
    pub operating: bool,
    /// A note that somebody wrote on it.
    pub alias: String,
    /// Hardware address.
    pub mac: Vec<u8>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// What went through it.
    pub counters: Counters,
}

/// What went through a link since it was made, as the link's own side sees it (`struct rtnl_link_stats64`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Bad packets received.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets received and thrown away.
    pub rx_dropped: u64,
    /// Packets thrown away instead of sent.
    pub tx_dropped: u64,
}

impl Counters {
    /// The same as the other end of a veth pair sees it.
    #[must_use]
    pub fn other_end(self) -> Self {
        Self {
            rx_packets: self.tx_packets,
            tx_packets: self.rx_packets,
            rx_bytes: self.tx_bytes,
            tx_bytes: self.rx_bytes,
            rx_errors: self.tx_errors,
            tx_errors: self.rx_errors,
            rx_dropped: self.tx_dropped,
            tx_dropped: self.rx_dropped,
        }
    }

    fn parse(value: &[u8]) -> Result<Self, Malformed> {
        let words = value.first_chunk::<64>().ok_or(Malformed::Short { what: "link counters", left: value.len() })?;
        let word = |index: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&words[index * 8..index * 8 + 8]);
            u64::from_ne_bytes(bytes)
        };
        Ok(Self {
            rx_packets: word(0),
            tx_packets: word(1),
            rx_bytes: word(2),
            tx_bytes: word(3),
            rx_errors: word(4),
            tx_errors: word(5),
            rx_dropped: word(6),
            tx_dropped: word(7),
        })
    }
}

/// A veth pair: one end on a bridge of this namespace, the other inside a container's.
#[derive(Debug)]
pub struct VethPair<'a> {
    /// Name of the end that stays.
    pub name: &'a str,
    /// Index of the bridge it joins.
    pub bridge: u32,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// The other end's name.
    pub peer_name: &'a str,
    /// The other end's hardware address.
    pub peer_mac: [u8; 6],
    /// The other end's network namespace.
    pub peer_namespace: BorrowedFd<'a>,
}

/// What a link hangs on its parent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With a hardware address of its own; `MACVLAN_MODE_*`.
    Macvlan(u32),
    /// With its parent's hardware address; `IPVLAN_MODE_*` and `IPVLAN_F_*`.
    Ipvlan {
        /// Mode.
        mode: u16,
        /// Flag.
        flag: u16,
    },
}

/// A link inside a container's namespace that hangs on one of this namespace.
#[derive(Debug)]
pub struct Hanging<'a> {
    /// Its name there.
    pub name: &'a str,
    /// Index of its parent.
    pub parent: u32,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Its hardware address; not of ipvlan.
    pub mac: [u8; 6],
    /// Its kind.
    pub kind: Kind,
    /// The container's network namespace.
    pub namespace: BorrowedFd<'a>,
}

/// Makes a link that hangs on another, down.
#[must_use]
pub fn add_hanging(hanging: &Hanging<'_>) -> Request {
    let mut request = Request::new(rt::NEWLINK, nl::CREATE | nl::EXCL, &header(0, 0, 0));
    request.text(rt::IFLA_IFNAME, hanging.name).number(rt::IFLA_LINK, hanging.parent);
    request.put(rt::IFLA_NET_NS_FD, &hanging.namespace.as_raw_fd().to_ne_bytes());
    match hanging.kind {
        Kind::Macvlan(mode) => {
            request.put(rt::IFLA_ADDRESS, &hanging.mac).nest(rt::IFLA_LINKINFO, |info| {
                info.text(rt::IFLA_INFO_KIND, "macvlan").nest(rt::IFLA_INFO_DATA, |data| {
                    data.number(rt::IFLA_MACVLAN_MODE, mode);
                });
            });
        }
        Kind::Ipvlan { mode, flag } => {
            request.nest(rt::IFLA_LINKINFO, |info| {
                info.text(rt::IFLA_INFO_KIND, "ipvlan").nest(rt::IFLA_INFO_DATA, |data| {
                    data.put(rt::IFLA_IPVLAN_MODE, &mode.to_ne_bytes()).put(rt::IFLA_IPVLAN_FLAGS, &flag.to_ne_bytes());
                });
            });
        }
    }
    request
}

/// Makes a link of a kind that needs no more than its name, with a note on it.
#[must_use]
pub fn add_plain(name: &str, kind: &str, alias: &str) -> Request {
    let mut request = Request::new(rt::NEWLINK, nl::CREATE | nl::EXCL, &header(0, 0, 0));
    request.text(rt::IFLA_IFNAME, name).put(rt::IFLA_IFALIAS, alias.as_bytes());
    request.nest(rt::IFLA_LINKINFO, |info| {
        info.text(rt::IFLA_INFO_KIND, kind);
    });
    request
}

/// Makes the link of VLAN `number` on the link `parent`, with a note on it.
#[must_use]
pub fn add_vlan(name: &str, parent: u32, number: u16, alias: &str) -> Request {
    let mut request = Request::new(rt::NEWLINK, nl::CREATE | nl::EXCL, &header(0, 0, 0));
    request.text(rt::IFLA_IFNAME, name).number(rt::IFLA_LINK, parent).put(rt::IFLA_IFALIAS, alias.as_bytes());
    request.nest(rt::IFLA_LINKINFO, |info| {
        info.text(rt::IFLA_INFO_KIND, "vlan").nest(rt::IFLA_INFO_DATA, |data| {
            data.put(rt::IFLA_VLAN_ID, &number.to_ne_bytes());
        });
    });
    request
}

/// Gives a link that is down another name.
#[must_use]
pub fn rename(index: u32, name: &str) -> Request {
    let mut request = Request::new(rt::NEWLINK, 0, &header(index, 0, 0));
    request.text(rt::IFLA_IFNAME, name);
    request
}

fn header(index: u32, flags: u32, change: u32) -> [u8; rt::IFINFO_LEN] {
    let mut bytes = [0; rt::IFINFO_LEN];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..].copy_from_slice(&change.to_ne_bytes());
    bytes
}

/// Makes a veth pair in one message: the near end up and on the bridge, the far end already in its namespace.
#[must_use]
pub fn add_veth(pair: &VethPair<'_>) -> Request {
    let mut request = Request::new(rt::NEWLINK, nl::CREATE | nl::EXCL, &header(0, rt::IFF_UP, rt::IFF_UP));
    request.text(rt::IFLA_IFNAME, pair.name).number(rt::IFLA_MTU, pair.mtu).number(rt::IFLA_MASTER, pair.bridge);
    request.nest(rt::IFLA_LINKINFO, |info| {
        info.text(rt::IFLA_INFO_KIND, "veth").nest(rt::IFLA_INFO_DATA, |data| {
            data.nest(rt::VETH_INFO_PEER, |peer| {
                peer.raw(&header(0, 0, 0))
                    .text(rt::IFLA_IFNAME, pair.peer_name)
                    .number(rt::IFLA_MTU, pair.mtu)
                    .put(rt::IFLA_ADDRESS, &pair.peer_mac)
                    .put(rt::IFLA_NET_NS_FD, &pair.peer_namespace.as_raw_fd().to_ne_bytes());
            });
        });
    });
    request
}

/// Makes a bridge that forwards at once (no listening delay), down.
#[must_use]
pub fn add_bridge(name: &str, mac: [u8; 6], mtu: u32) -> Request {
    let mut request = Request::new(rt::NEWLINK, nl::CREATE | nl::EXCL, &header(0, 0, 0));
    request.text(rt::IFLA_IFNAME, name).put(rt::IFLA_ADDRESS, &mac).number(rt::IFLA_MTU, mtu);
    request.nest(rt::IFLA_LINKINFO, |info| {
        info.text(rt::IFLA_INFO_KIND, "bridge").nest(rt::IFLA_INFO_DATA, |data| {
            data.number(rt::IFLA_BR_FORWARD_DELAY, 0);
        });
    });
    request
}

/// Brings a link up.
#[must_use]
pub fn up(index: u32) -> Request {
    Request::new(rt::NEWLINK, 0, &header(index, rt::IFF_UP, rt::IFF_UP))
}

/// Takes a link down.
#[must_use]
pub fn down(index: u32) -> Request {
    Request::new(rt::NEWLINK, 0, &header(index, 0, rt::IFF_UP))
}

/// Keeps the kernel from giving a link an IPv6 link-local address of its own when it comes up.
#[must_use]
pub fn without_link_local(index: u32) -> Request {
    let mut request = Request::new(rt::NEWLINK, 0, &header(index, 0, 0));
    request.nest(rt::IFLA_AF_SPEC, |families| {
        families.nest(libc::AF_INET6 as u16, |inet6| {
            inet6.put(rt::IFLA_INET6_ADDR_GEN_MODE, &[rt::IN6_ADDR_GEN_MODE_NONE]);
        });
    });
    request
}

/// Makes the link `index` a port of the bridge `bridge`.
#[must_use]
pub fn join_bridge(index: u32, bridge: u32) -> Request {
    let mut request = Request::new(rt::NEWLINK, 0, &header(index, 0, 0));
    request.number(rt::IFLA_MASTER, bridge);
    request
}

/// Sets how a bridge treats its port `name`: whether frames may go back where they came from, and whether the port is
/// kept from all other isolated ones.
#[must_use]
pub fn port_options(name: &str, hairpin: bool, isolated: bool) -> Request {
    let mut request = Request::new(rt::NEWLINK, 0, &header(0, 0, 0));
    request.text(rt::IFLA_IFNAME, name).nest(rt::IFLA_LINKINFO, |info| {
        info.text(rt::IFLA_INFO_SLAVE_KIND, "bridge").nest(rt::IFLA_INFO_SLAVE_DATA, |data| {
            data.put(rt::IFLA_BRPORT_MODE, &[hairpin.into()]).put(rt::IFLA_BRPORT_ISOLATED, &[isolated.into()]);
        });
    });
    request
}

/// Removes a link; of a veth pair, both ends.
#[must_use]
pub fn remove(name: &str) -> Request {
    let mut request = Request::new(rt::DELLINK, 0, &header(0, 0, 0));
    request.text(rt::IFLA_IFNAME, name);
    request
}

/// Removes the link of this number, and no other that has got its name meanwhile.
#[must_use]
pub fn remove_index(index: u32) -> Request {
    Request::new(rt::DELLINK, 0, &header(index, 0, 0))
}

/// The link called `name` in the socket's namespace.
///
/// # Errors
/// The kernel's refusal; an absent link is `None`.
pub fn find(socket: &mut Socket, name: &str) -> Result<Option<Link>, Refusal> {
    let mut request = Request::new(rt::GETLINK, 0, &header(0, 0, 0));
    request.text(rt::IFLA_IFNAME, name);
    let mut found = None;
    match socket.ask(request, |message| {
        found = parse(message)?;
        Ok(())
    }) {
        Err(refusal) if refusal.is(rustix::io::Errno::NODEV) => Ok(None),
        outcome => outcome.map(|()| found),
    }
}

/// All links of the socket's namespace.
///
/// # Errors
/// The kernel's refusal.
pub fn list(socket: &mut Socket) -> Result<Vec<Link>, Refusal> {
    let mut links = Vec::new();
    socket.dump(&Request::new(rt::GETLINK, 0, &header(0, 0, 0)), |message| {
        links.extend(parse(message)?);
        Ok(())
    })?;
    Ok(links)
}

fn parse(message: &reply::Message<'_>) -> Result<Option<Link>, Malformed> {
    if message.kind != rt::NEWLINK {
        return Ok(None);
    }
    let (head, body) = reply::split(message.body, rt::IFINFO_LEN, "link")?;
    let mut link = Link {
        index: reply::u32_of(&head[4..], "link index")?,
        up: reply::u32_of(&head[8..], "link flags")? & rt::IFF_UP != 0,
        ..Link::default()
    };
    for attribute in reply::attributes(body) {
        let (kind, value) = attribute?;
        match kind {
            rt::IFLA_IFNAME => link.name = reply::text(value),
            rt::IFLA_MASTER => link.master = reply::u32_of(value, "master")?,
            rt::IFLA_OPERSTATE => link.operating = value.first() == Some(&rt::OPERATING),
            rt::IFLA_MTU => link.mtu = reply::u32_of(value, "MTU")?,
            rt::IFLA_STATS64 => link.counters = Counters::parse(value)?,
            rt::IFLA_ADDRESS => link.mac = value.to_vec(),
            rt::IFLA_IFALIAS => link.alias = reply::text(value),
            rt::IFLA_LINKINFO => link.kind = info_kind(value)?,
            _ => {}
        }
    }
    Ok(Some(link))
}

fn info_kind(info: &[u8]) -> Result<String, Malformed> {
    for attribute in reply::attributes(info) {
        let (kind, value) = attribute?;
        if kind == rt::IFLA_INFO_KIND {
            return Ok(reply::text(value));
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &[u8]) -> reply::Message<'_> {
        reply::Message { kind: rt::NEWLINK, flags: 0, sequence: 1, port: 0, body }
    }

    #[test]
    fn links_of_every_cut_are_safe() {
        let mut body = header(7, rt::IFF_UP, 0).to_vec();
        body.extend_from_slice(&[9, 0, 3, 0]);
        body.extend_from_slice(b"eth0\0\0\0\0");
        body.extend_from_slice(&[16, 0, 18, 0x80, 9, 0, 1, 0]);
        body.extend_from_slice(b"veth\0\0\0\0");
        body.extend_from_slice(&[8, 0, 10, 0, 3, 0, 0, 0]);
        let whole = parse(&message(&body)).unwrap().unwrap();
        assert_eq!((whole.index, whole.name.as_str(), whole.kind.as_str(), whole.master), (7, "eth0", "veth", 3));
        for end in 0..body.len() {
            let _ = parse(&message(&body[..end]));
        }
        body[36..38].copy_from_slice(&[6, 0]);
        let _ = parse(&message(&body));
        let short_number = [&header(7, 0, 0)[..], &[6, 0, 10, 0, 3, 0, 0, 0]].concat();
        assert!(parse(&message(&short_number)).is_err());
    }
}
