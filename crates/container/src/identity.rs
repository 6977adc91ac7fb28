//! hostname, hosts and resolv.conf: the files that tell a container who it is and whom it knows.

use std::{fmt::Write as _, fs, path::Path};

use crate::{Error, Result, record::Record};

/// The host's own name.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Makes the container's directory and its files with what is known before the network is.
pub fn write_first(dir: &Path, record: &Record) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o710)
        .create(dir)
        .map_err(|error| Error::file("make directory", dir, error))?;
    let name = record.config.hostname.as_deref().unwrap_or("");
    write(dir, "hostname", &format!("{name}\n"))?;
    write(dir, "hosts", "")?;
    write(dir, "resolv.conf", "")
}

/// Writes a file in place: it may be mounted, so it keeps its inode.
pub fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    fs::write(&path, text).map_err(|error| Error::file("write", &path, error))
}

/// The hosts file of a container with these addresses; `linked` are addresses and names of others.
pub fn hosts(record: &Record, addresses: &[String], gateway: Option<&str>, linked: &[(String, String)]) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for entry in record.host.extra_hosts.iter().flatten() {
        if let Some((name, address)) = entry.split_once([':', '=']) {
            let address = if address == "host-gateway" { gateway.unwrap_or("127.0.0.1") } else { address };
            let _ = writeln!(text, "{address}\t{name}");
        }
    }
    for (address, names) in linked {
        let _ = writeln!(text, "{address}\t{names}");
    }
    text.push_str(&own_names(record, addresses));
    text
}

fn own_names(record: &Record, addresses: &[String]) -> String {
    let mut text = String::new();
    let hostname = record.config.hostname.as_deref().unwrap_or("");
    let domain = record.config.domainname.as_deref().filter(|domain| !domain.is_empty());
    for address in addresses {
        let _ = match domain {
            Some(domain) => writeln!(text, "{address}\t{hostname}.{domain} {hostname}"),
            None => writeln!(text, "{address}\t{hostname}"),
        };
    }
    text
}

/// Adds a running container's new addresses to its hosts file; what the container wrote there itself stays.
pub fn add_addresses(dir: &Path, record: &Record, addresses: &[String]) -> Result<()> {
    let mut text = read(dir, "hosts")?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&own_names(record, addresses));
    write(dir, "hosts", &text)
}

/// Takes the lines of addresses that a running container no longer has out of its hosts file.
pub fn remove_addresses(dir: &Path, addresses: &[&str]) -> Result<()> {
    let text = read(dir, "hosts")?;
    let stays = |line: &&str| line.split_whitespace().next().is_none_or(|first| !addresses.contains(&first));
    let kept: String = text.lines().filter(stays).map(|line| format!("{line}\n")).collect();
    write(dir, "hosts", &kept)
}

/// Takes the lines of a name that a running container no longer knows out of its hosts file.
pub fn remove_name(dir: &Path, name: &str) -> Result<()> {
    let text = read(dir, "hosts")?;
    let stays = |line: &&str| line.split_whitespace().nth(1) != Some(name);
    let kept: String = text.lines().filter(stays).map(|line| format!("{line}\n")).collect();
    write(dir, "hosts", &kept)
}

fn read(dir: &Path, name: &str) -> Result<String> {
    let path = dir.join(name);
    fs::read_to_string(&path).map_err(|error| Error::file("read", &path, error))
}

/// What a container's resolver is told by its user and the daemon.
pub struct Resolver<'a> {
    /// Name servers.
    pub servers: &'a [String],
    /// Search domains.
    pub search: &'a [String],
    /// Options.
    pub options: &'a [String],
}

/// The resolv.conf of a container: what was asked for, else the host's without servers that only the host reaches.
pub fn resolv_conf(resolver: &Resolver, host_text: &str, shares_network: bool) -> String {
    let fields = |key: &str| -> Vec<&str> {
        let lines = host_text.lines().filter_map(|line| line.trim().strip_prefix(key));
        lines.filter(|rest| rest.starts_with([' ', '\t'])).flat_map(str::split_whitespace).collect()
    };
    let given = |own: &'_ [String], key: &str| -> Vec<String> {
        if own.is_empty() { fields(key).into_iter().map(str::to_owned).collect() } else { own.to_vec() }
    };
    let mut servers = given(resolver.servers, "nameserver");
    if resolver.servers.is_empty() && !shares_network {
        servers.retain(|server| !is_loopback(server));
    }
    let mut search = given(resolver.search, "search");
    search.retain(|domain| domain != ".");
    let options = given(resolver.options, "options");
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    for (key, list) in [("search", search), ("options", options)] {
        if !list.is_empty() {
            let _ = writeln!(text, "{key} {}", list.join(" "));
        }
    }
    text
}

/// The resolv.conf of a container on networks of a user's own: the engine's resolver, which knows the servers that were
/// asked for or the host's.
pub fn resolver_conf(resolver: &Resolver, host_text: &str, at: std::net::Ipv4Addr) -> String {
    let mut options = resolver.options.to_vec();
    if options.is_empty() {
        let lines = host_text.lines().filter_map(|line| line.trim().strip_prefix("options"));
        options = lines.flat_map(str::split_whitespace).map(str::to_owned).collect();
        options.retain(|option| !option.starts_with("ndots:"));
    }
    if !options.iter().any(|option| option.starts_with("ndots:")) {
        // Names of containers have no dots, and are asked for as they are.
        options.push("ndots:0".to_owned());
    }
    let own = Resolver { servers: &[at.to_string()], options: &options, search: resolver.search };
    resolv_conf(&own, host_text, true)
}

fn is_loopback(server: &str) -> bool {
    server.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_networks_of_its_own_a_container_asks_the_resolver() {
        let none = Resolver { servers: &[], search: &[], options: &[] };
        let host = "nameserver 192.0.2.1\nsearch a.example\noptions edns0 ndots:2\n";
        let text = "nameserver 127.0.0.11\nsearch a.example\noptions edns0 ndots:0\n";
        assert_eq!(resolver_conf(&none, host, berth_dns::ADDRESS), text);
        let options = ["ndots:5".to_owned()];
        assert!(
            resolver_conf(&Resolver { options: &options, ..none }, host, berth_dns::ADDRESS).ends_with("ndots:5\n")
        );
    }

    #[test]
    fn host_resolvers_lose_loopback_only_in_an_own_network() {
        let none = Resolver { servers: &[], search: &[], options: &[] };
        let host = "# text\nnameserver 127.0.0.53\nnameserver 10.0.0.1\nsearch a.example b.example\noptions ndots:2\n";
        assert_eq!(
            resolv_conf(&none, host, false),
            "nameserver 10.0.0.1\nsearch a.example b.example\noptions ndots:2\n"
        );
        assert!(resolv_conf(&none, host, true).contains("127.0.0.53"));
        let own = ["127.0.0.1".to_owned()];
        assert!(resolv_conf(&Resolver { servers: &own, ..none }, host, false).starts_with("nameserver 127.0.0.1\n"));
    }
}
