//! Contents of a container's `/etc/resolv.conf` (`resolv.conf(5)`).

use std::{fs, net::IpAddr};

/// Used where the host names no server that a container could reach, as Docker does.
const FALLBACK: [IpAddr; 2] =
    [IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 4, 4))];

/// What a `resolv.conf` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostResolver {
    /// Name servers in order.
    pub servers: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options, such as `ndots:1`.
    pub options: Vec<String>,
}

impl HostResolver {
    /// Reads the host's resolver; where that is systemd-resolved's stub, the file with the real servers. A host without
    /// one has an empty one.
    #[must_use]
    pub fn read() -> Self {
        let host = Self::parse(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
        let stub = [IpAddr::from([127, 0, 0, 53]), IpAddr::from([127, 0, 0, 54])];
        if !host.servers.is_empty()
            && host.servers.iter().all(|server| stub.contains(server))
            && let Ok(text) = fs::read_to_string("/run/systemd/resolve/resolv.conf")
        {
            return Self::parse(&text);
        }
        host
    }

    /// Reads the text of a `resolv.conf`; lines that are not understood are passed over, as resolvers do.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                // A scope (`fe80::1%eth0`) has no meaning in another namespace.
                Some("nameserver") => {
                    resolver.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()))
                }
                Some("search" | "domain") => resolver.search = words.map(str::to_owned).collect(),
                Some("options") => resolver.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        resolver
    }
}

/// The file for a container: what the container's own configuration gives wins over the host's, item by item; of the
/// host's servers those on its loopback are left out. A search domain `.` means none.
///
/// `ipv6` says whether the container can reach IPv6 servers. With `--network host` pass `shares_host` so that the
/// loopback servers stay.
#[must_use]
pub fn resolv_conf(
    host: &HostResolver,
    servers: &[IpAddr],
    search: &[String],
    options: &[String],
    ipv6: bool,
    shares_host: bool,
) -> String {
    let reachable = |server: &&IpAddr| shares_host || (!server.is_loopback() && (ipv6 || server.is_ipv4()));
    let mut chosen: Vec<IpAddr> = servers.to_vec();
    if chosen.is_empty() {
        chosen.extend(host.servers.iter().filter(reachable));
    }
    if chosen.is_empty() && !shares_host {
        chosen.extend(FALLBACK);
    }
    let mut text = String::from("# Written by berth; changes last until the container starts again.\n");
    for server in chosen {
        text.push_str(&format!("nameserver {server}\n"));
    }
    let search = if search.is_empty() { &host.search } else { search };
    if !search.is_empty() && search != ["."] {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    let options = if options.is_empty() { &host.options } else { options };
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# c\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n\
                        search a.example b.example\noptions edns0 ndots:2\nnonsense\nnameserver\n";

    fn lines(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.starts_with('#')).collect()
    }

    #[test]
    fn the_host_s_servers_without_loopback() {
        let host = HostResolver::parse(HOST);
        let text = resolv_conf(&host, &[], &[], &[], false, false);
        assert_eq!(lines(&text), ["nameserver 10.0.0.2", "search a.example b.example", "options edns0 ndots:2"]);
        let text = resolv_conf(&host, &[], &[], &[], true, false);
        assert_eq!(lines(&text)[1], "nameserver 2001:db8::1");
        let text = resolv_conf(&host, &[], &[], &[], false, true);
        assert_eq!(lines(&text)[0], "nameserver 127.0.0.53");
    }

    #[test]
    fn what_the_container_asks_for_wins() {
        let host = HostResolver::parse(HOST);
        let text = resolv_conf(&host, &["9.9.9.9".parse().unwrap()], &[".".into()], &["rotate".into()], false, false);
        assert_eq!(lines(&text), ["nameserver 9.9.9.9", "options rotate"]);
    }

    #[test]
    fn a_host_with_loopback_servers_only_falls_back() {
        let host = HostResolver::parse("nameserver 127.0.0.1\n");
        assert_eq!(
            lines(&resolv_conf(&host, &[], &[], &[], false, false)),
            ["nameserver 8.8.8.8", "nameserver 8.8.4.4"]
        );
    }
}
