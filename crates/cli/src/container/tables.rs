//! Cells of container tables.

use berth_client::answer::Port;

/// `0.0.0.0:8080->80/tcp, 443/tcp`: adjacent ports with the same shift are one range, as Docker shows them.
#[must_use]
pub fn ports(ports: &[Port]) -> String {
    let mut sorted: Vec<&Port> = ports.iter().collect();
    sorted.sort_by(|a, b| (a.private, &a.ip, a.public, &a.protocol).cmp(&(b.private, &b.ip, b.public, &b.protocol)));
    let mut groups: Vec<Group> = Vec::new();
    let mut mapped = Vec::new();
    for port in sorted {
        if !port.ip.is_empty() && port.public != port.private {
            mapped.push(format!("{}->{}/{}", address(&port.ip, port.public), port.private, port.protocol));
            continue;
        }
        let ip = if port.ip.is_empty() { "" } else { port.ip.as_str() };
        match groups.iter_mut().find(|g| g.ip == ip && g.protocol == port.protocol && g.open) {
            Some(group) if group.last == port.private => {}
            Some(group) if group.last.checked_add(1) == Some(port.private) => group.last = port.private,
            Some(group) => {
                group.open = false;
                groups.push(Group::new(ip, port));
            }
            None => groups.push(Group::new(ip, port)),
        }
    }
    groups.sort_by(|a, b| (a.ip, &a.protocol, a.first).cmp(&(b.ip, &b.protocol, b.first)));
    groups.iter().map(Group::text).chain(mapped).collect::<Vec<_>>().join(", ")
}

struct Group<'a> {
    ip: &'a str,
    protocol: &'a str,
    first: u16,
    last: u16,
    open: bool,
}

impl<'a> Group<'a> {
    fn new(ip: &'a str, port: &'a Port) -> Self {
        Self { ip, protocol: &port.protocol, first: port.private, last: port.private, open: true }
    }

    fn text(&self) -> String {
        let range = match self.first == self.last {
            true => self.first.to_string(),
            false => format!("{}-{}", self.first, self.last),
        };
        match self.ip {
            "" => format!("{range}/{}", self.protocol),
            ip if ip.contains(':') => format!("[{ip}]:{range}->{range}/{}", self.protocol),
            ip => format!("{ip}:{range}->{range}/{}", self.protocol),
        }
    }
}

/// `address:port`, brackets around IPv6.
#[must_use]
pub fn address(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, public: u16, private: u16, protocol: &str) -> Port {
        Port { ip: ip.into(), public, private, protocol: protocol.into() }
    }

    #[test]
    fn groups_like_docker() {
        for (list, text) in [
            (vec![port("", 0, 80, "tcp")], "80/tcp"),
            (vec![port("", 0, 81, "tcp"), port("", 0, 80, "tcp")], "80-81/tcp"),
            (
                vec![port("0.0.0.0", 8080, 80, "tcp"), port("::", 8080, 80, "tcp")],
                "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
            ),
            (vec![port("0.0.0.0", 80, 80, "tcp"), port("0.0.0.0", 81, 81, "tcp")], "0.0.0.0:80-81->80-81/tcp"),
            (vec![port("", 0, 53, "udp"), port("", 0, 53, "tcp"), port("", 0, 60, "tcp")], "53/tcp, 60/tcp, 53/udp"),
            (vec![], ""),
        ] {
            assert_eq!(ports(&list), text);
        }
    }
}
