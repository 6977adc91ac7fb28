//! The way from a container's programs to the resolver, which listens in the container's own network namespace.

use std::net::SocketAddrV4;

use crate::{
    Netns, Result,
    error::Error,
    netlink::{
        Family, Refusal, Socket,
        nft::{Ruleset, object, object::Element},
    },
};

/// The rules, in nft(8)'s language.
const RULES: &str = include_str!("firewall/names.nft");
/// The map of the rules.
const MAP: &str = "resolver";

/// Leads questions to `asked`, by datagram and by stream, to `listens`. Doing it again changes nothing.
///
/// # Errors
/// [`Error::Namespace`], [`Error::Names`] when the kernel has no packet rules.
pub fn lead_names(netns: &Netns, asked: SocketAddrV4, listens: SocketAddrV4) -> Result<()> {
    let namespace = netns.open()?;
    install(&namespace, asked, listens).map_err(|source| Error::Names { source })
}

fn install(namespace: &std::fs::File, asked: SocketAddrV4, listens: SocketAddrV4) -> std::result::Result<(), Refusal> {
    use std::os::fd::AsFd as _;
    let Ok(ruleset) = Ruleset::parse(RULES) else {
        return Err(Refusal::Socket { act: "read the rules for", errno: rustix::io::Errno::INVAL });
    };
    let padded = |port: u16| [port.to_be_bytes(), [0; 2]].concat();
    let element = |protocol: u8| Element {
        key: [&asked.ip().octets()[..], &[protocol, 0, 0, 0], &padded(asked.port())].concat(),
        key_end: None,
        data: Some([&listens.ip().octets()[..], &padded(listens.port())].concat()),
    };
    let elements = [libc::IPPROTO_UDP, libc::IPPROTO_TCP].map(|protocol| element(protocol as u8));
    let mut requests = object::replace(&ruleset);
    requests.extend(object::add_elements(&ruleset.table, MAP, &elements));
    Socket::open_in(namespace.as_fd(), Family::Netfilter)?.commit(requests)
}
