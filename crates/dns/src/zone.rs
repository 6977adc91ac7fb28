//! Who is who: names and addresses as one container may know them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::message::{self, Answer};
use crate::state::{Container, Member, Network};

/// Everything that is known.
#[derive(Debug, Default)]
pub struct Zones {
    /// Networks by id.
    pub networks: HashMap<String, Network>,
    /// Containers by id.
    pub containers: HashMap<String, Container>,
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// These answers; none when the name exists without what was asked about it.
    Answers(Vec<Answer>),
    /// Others may know: they are asked.
    Ask(Vec<IpAddr>),
    /// Nobody may be asked: all networks of the container are internal.
    Nobody,
}

impl Zones {
    /// What a container may know about a name. `turn` rotates the answers, so that members take turns.
    pub fn look_up(&self, container: &str, name: &str, kind: u16, turn: usize) -> Known {
        let Some(asking) = self.containers.get(container) else { return Known::Nobody };
        let networks = || asking.networks.iter().filter_map(|one| Some((one, self.networks.get(&one.id)?)));
        if let Some(address) = reversed(name) {
            let found = networks().find_map(|(_, network)| {
                let member = network.members.iter().find(|member| member.has(address))?;
                Some(format!("{}.{}", member.names.first()?, network.name))
            });
            if let Some(found) = found {
                let wanted = matches!(kind, message::PTR | message::ANY);
                return Known::Answers(if wanted { vec![Answer::Name(found)] } else { Vec::new() });
            }
        }
        for (membership, network) in networks() {
            let short = name.strip_suffix(&format!(".{}", network.name.to_ascii_lowercase()));
            let asked = [Some(name), short];
            let linked = membership.links.iter().filter(|(_, alias)| asked.contains(&Some(alias)));
            let wanted: Vec<&str> =
                linked.map(|(member, _)| member.as_str()).chain(asked.into_iter().flatten()).collect();
            let of = |member: &&Member| {
                member.names.iter().any(|own| wanted.iter().any(|name| own.eq_ignore_ascii_case(name)))
            };
            let members: Vec<&Member> = network.members.iter().filter(of).collect();
            if !members.is_empty() {
                return Known::Answers(answers(&members, kind, turn));
            }
        }
        let mut open = networks().filter(|(_, network)| !network.internal);
        if open.next().is_none() { Known::Nobody } else { Known::Ask(asking.upstream.clone()) }
    }
}

impl Member {
    fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.ipv4 == Some(address),
            IpAddr::V6(address) => self.ipv6 == Some(address),
        }
    }
}

fn answers(members: &[&Member], kind: u16, turn: usize) -> Vec<Answer> {
    let four = matches!(kind, message::A | message::ANY);
    let six = matches!(kind, message::AAAA | message::ANY);
    let mut all: Vec<Answer> = Vec::new();
    if four {
        all.extend(members.iter().filter_map(|member| member.ipv4.map(Answer::V4)));
    }
    if six {
        all.extend(members.iter().filter_map(|member| member.ipv6.map(Answer::V6)));
    }
    if !all.is_empty() {
        let by = turn % all.len();
        all.rotate_left(by);
    }
    all
}

/// The address of a name below `in-addr.arpa` or `ip6.arpa` (RFC 1035, section 3.5; RFC 3596, section 2.5).
fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let mut bytes: Vec<u8> = labels.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        bytes.reverse();
        return <[u8; 4]>::try_from(bytes).ok().map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    }
    let labels = name.strip_suffix(".ip6.arpa")?;
    let digits: Vec<u8> = labels
        .split('.')
        .map(|label| u8::from_str_radix(label, 16).ok().filter(|digit| *digit < 16 && label.len() == 1))
        .collect::<Option<_>>()?;
    if digits.len() != 32 {
        return None;
    }
    let mut bytes = [0u8; 16];
    for (at, pair) in digits.chunks(2).enumerate() {
        bytes[15 - at] = pair[0] | pair[1] << 4;
    }
    Some(IpAddr::V6(Ipv6Addr::from(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Membership;

    fn member(names: &[&str], last: u8) -> Member {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Member { names, ipv4: Some(Ipv4Addr::new(10, 0, 0, last)), ipv6: None }
    }

    fn zones(internal: bool) -> Zones {
        let members = vec![member(&["web1", "web"], 2), member(&["web2", "web"], 3), member(&["db"], 4)];
        let mut zones = Zones::default();
        zones.networks.insert("n1".into(), Network { name: "Backend".into(), internal, members });
        let other = Network { name: "other".into(), internal: false, members: vec![member(&["secret"], 9)] };
        zones.networks.insert("n2".into(), other);
        let links = vec![("db".to_owned(), "store".to_owned())];
        let networks = vec![Membership { id: "n1".into(), links }];
        let upstream = vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))];
        zones.containers.insert(
            "c".into(),
            Container { pid: 1, born: 0, port: crate::PORT, everywhere: false, networks, upstream },
        );
        zones
    }

    fn four(last: u8) -> Answer {
        Answer::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    #[test]
    fn names_aliases_links_and_names_with_their_network() {
        let zones = zones(false);
        let ask = |name: &str| zones.look_up("c", name, message::A, 0);
        assert_eq!(ask("db"), Known::Answers(vec![four(4)]));
        assert_eq!(ask("db.backend"), Known::Answers(vec![four(4)]));
        assert_eq!(ask("store"), Known::Answers(vec![four(4)]));
        assert_eq!(ask("web"), Known::Answers(vec![four(2), four(3)]));
        assert_eq!(zones.look_up("c", "web", message::A, 1), Known::Answers(vec![four(3), four(2)]));
        assert_eq!(zones.look_up("c", "db", message::AAAA, 0), Known::Answers(vec![]), "it exists, without IPv6");
        assert!(matches!(ask("secret"), Known::Ask(_)), "another network's names are not known");
        assert!(matches!(ask("example.com"), Known::Ask(servers) if servers.len() == 1));
    }

    #[test]
    fn addresses_have_names() {
        let zones = zones(false);
        let ask = |name: &str| zones.look_up("c", name, message::PTR, 0);
        assert_eq!(ask("4.0.0.10.in-addr.arpa"), Known::Answers(vec![Answer::Name("db.Backend".into())]));
        assert!(matches!(ask("9.0.0.10.in-addr.arpa"), Known::Ask(_)));
        let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(reversed(v6), Some("2001:db8::1".parse().expect("an address")));
        for wrong in ["x.in-addr.arpa", "1.2.3.in-addr.arpa", "1.ip6.arpa", "256.0.0.1.in-addr.arpa"] {
            assert_eq!(reversed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn nothing_leaves_an_internal_network() {
        assert_eq!(zones(true).look_up("c", "example.com", message::A, 0), Known::Nobody);
        assert_eq!(zones(true).look_up("stranger", "db", message::A, 0), Known::Nobody);
    }
}
