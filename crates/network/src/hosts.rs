//! Contents of a container's `/etc/hosts` (`hosts(5)`).

use std::net::{IpAddr, Ipv4Addr};

use crate::{Error, Result};

const LOCAL: &str = "127.0.0.1\tlocalhost\n\
                     ::1\tlocalhost ip6-localhost ip6-loopback\n\
                     fe00::\tip6-localnet\n\
                     ff00::\tip6-mcastprefix\n\
                     ff02::1\tip6-allnodes\n\
                     ff02::2\tip6-allrouters\n";

/// One line: an address and its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// The address.
    pub address: IpAddr,
    /// Its names, at least one.
    pub names: Vec<String>,
}

impl HostEntry {
    /// Reads `--add-host NAME:ADDRESS` (`NAME=ADDRESS` too); the address `host-gateway` means `gateway`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with Docker's text.
    pub fn parse(text: &str, gateway: Option<IpAddr>) -> Result<Self> {
        let wrong = |why: String| Error::Invalid { field: "ExtraHosts", why };
        let bad_form = || wrong(format!("bad format for add-host: {text:?}"));
        let (name, address) = text.split_once(['=', ':']).ok_or_else(bad_form)?;
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(bad_form());
        }
        let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let address = if address == "host-gateway" {
            let why = "unable to derive the IP value for host-gateway: the container is on no network with a gateway";
            gateway.ok_or_else(|| wrong(why.to_owned()))?
        } else {
            address.parse().map_err(|_| wrong(format!("invalid IP address in add-host: {address:?}")))?
        };
        Ok(Self { address, names: vec![name.to_owned()] })
    }
}

/// The file for a container: the local names, what `extra` says, and the container's own address with its host name
/// (with the domain first where there is one, `web.example.org web`).
#[must_use]
pub fn hosts_file(own: &[Ipv4Addr], host_name: &str, domain_name: &str, extra: &[HostEntry]) -> String {
    let mut text = LOCAL.to_owned();
    for entry in extra {
        text.push_str(&format!("{}\t{}\n", entry.address, entry.names.join(" ")));
    }
    let (host, domain) = host_name.split_once('.').unwrap_or((host_name, domain_name));
    let names = if domain.is_empty() { host.to_owned() } else { format!("{host}.{domain} {host}") };
    for address in own {
        text.push_str(&format!("{address}\t{names}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_name_and_extra_hosts_are_listed() {
        let gateway = Some("172.17.0.1".parse().unwrap());
        let extra = [
            HostEntry::parse("db:10.0.0.9", None).unwrap(),
            HostEntry::parse("six=[2001:db8::1]", None).unwrap(),
            HostEntry::parse("host.docker.internal:host-gateway", gateway).unwrap(),
        ];
        let text = hosts_file(&[Ipv4Addr::new(172, 17, 0, 2)], "web", "example.org", &extra);
        let tail: Vec<_> = text.lines().skip(6).collect();
        assert_eq!(
            tail,
            ["10.0.0.9\tdb", "2001:db8::1\tsix", "172.17.0.1\thost.docker.internal", "172.17.0.2\tweb.example.org web"]
        );
        assert!(hosts_file(&[Ipv4Addr::LOCALHOST], "a.b.c", "", &[]).ends_with("127.0.0.1\ta.b.c a\n"));
    }

    #[test]
    fn bad_extra_hosts_are_refused() {
        for text in ["", "name", ":1.2.3.4", "a b:1.2.3.4", "name:1.2.3", "name:"] {
            assert!(HostEntry::parse(text, None).is_err(), "{text}");
        }
        assert!(HostEntry::parse("x:host-gateway", None).is_err());
    }
}
