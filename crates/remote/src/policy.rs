//! Where a registry's content may come from, and who needs no proof of identity.

use std::{net::IpAddr, path::PathBuf};

use berth_spec::reference::DEFAULT_DOMAIN;
use hyper::{HeaderMap, Uri};

use crate::{Error, Proxies, Result, origin::Origin, trust::Trust};

/// Docker's registry answers at another host than images are named after.
const DEFAULT_HOST: &str = "registry-1.docker.io";

/// The daemon's settings about registries.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Base addresses of mirrors of the default registry, in order.
    pub mirrors: Vec<String>,
    /// `host[:port]` or networks like `10.0.0.0/8` that are trusted without certificate and may speak plain HTTP.
    pub insecure: Vec<String>,
    /// Directories with a directory for each `host[:port]`: certificates (Docker's layout) and `hosts.toml`
    /// (containerd's).
    pub certificates: Vec<PathBuf>,
    /// On the way to registries.
    pub proxies: Proxies,
    /// Hosts that may be token servers of any registry, beside the registry's own host.
    pub realms: Vec<String>,
    /// Connections for the blobs of one image, 0 for the default.
    pub connections: usize,
}

/// What an endpoint is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Blobs, and manifests by digest.
    pub pull: bool,
    /// Manifests by tag.
    pub resolve: bool,
    pub push: bool,
}

impl Abilities {
    pub const ALL: Self = Self { pull: true, resolve: true, push: true };
}

/// One way to a registry.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub origin: Origin,
    /// Path of the API, without trailing slash: `/v2`.
    pub root: String,
    pub trust: Trust,
    pub is_mirror: bool,
    pub abilities: Abilities,
    /// For every request.
    pub headers: HeaderMap,
    /// Told to mirrors that serve several registries.
    pub namespace: Option<String>,
}

impl Endpoint {
    fn new(origin: Origin, is_verified: bool) -> Self {
        Self {
            origin,
            root: "/v2".to_owned(),
            trust: Trust::plain(is_verified),
            is_mirror: false,
            abilities: Abilities::ALL,
            headers: HeaderMap::new(),
            namespace: None,
        }
    }

    /// Names it in messages and in the book of health.
    pub fn name(&self) -> String {
        format!("{}{}", self.origin, self.root.strip_suffix("/v2").unwrap_or(&self.root))
    }
}

impl Policy {
    /// The ways to the registry of `domain`, in the order they are tried.
    pub(crate) fn endpoints(&self, domain: &str) -> Result<Vec<Endpoint>> {
        if let Some(declared) = self.hosts(domain, domain)? {
            return Ok(declared);
        }
        let mut endpoints = Vec::new();
        if domain == DEFAULT_DOMAIN {
            for mirror in &self.mirrors {
                endpoints.push(self.mirror(mirror)?);
            }
        }
        endpoints.extend(self.direct(domain)?);
        Ok(endpoints)
    }

    /// The registry itself: over TLS, and without where that was declared.
    pub(crate) fn direct(&self, domain: &str) -> Result<Vec<Endpoint>> {
        let host = if domain == DEFAULT_DOMAIN { DEFAULT_HOST } else { domain };
        let invalid = || Error::Address { address: host.to_owned(), reason: "not a host" };
        let is_insecure = self.is_insecure(host);
        let mut endpoints = Vec::new();
        for is_tls in if is_insecure { &[true, false][..] } else { &[true] } {
            endpoints.push(Endpoint::new(Origin::new(*is_tls, host).ok_or_else(invalid)?, !is_insecure));
        }
        Ok(endpoints)
    }

    fn mirror(&self, address: &str) -> Result<Endpoint> {
        let invalid = |reason| Error::Address { address: address.to_owned(), reason };
        let uri: Uri = address.parse().map_err(|_| invalid("not a URL"))?;
        let origin = Origin::of(&uri).ok_or_else(|| invalid("a mirror is http(s)://host[:port][/path]"))?;
        let is_verified = !self.is_insecure(&origin.authority());
        let root = format!("{}/v2", uri.path().trim_end_matches('/'));
        Ok(Endpoint { root, is_mirror: true, ..Endpoint::new(origin, is_verified) })
    }
    /// Whether `authority` was declared insecure, or is this machine itself.
    pub(crate) fn is_insecure(&self, authority: &str) -> bool {
        let Some(origin) = Origin::new(true, authority) else { return false };
        let address: Option<IpAddr> = origin.bare_host().parse().ok();
        if origin.host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        self.insecure.iter().any(|insecure| {
            insecure == authority || address.is_some_and(|address| network_holds(insecure, address).unwrap_or(false))
        })
    }
}

/// Whether `network`, as `address/bits`, holds `address`; `None` when it is no network.
pub(crate) fn network_holds(network: &str, address: IpAddr) -> Option<bool> {
    let (base, bits) = network.split_once('/')?;
    let bits: u32 = bits.parse().ok()?;
    let prefix = |value: u128, width: u32| value.checked_shr(width.checked_sub(bits)?).or(Some(0));
    match (base.parse().ok()?, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            Some(prefix(u32::from(base).into(), 32)? == prefix(u32::from(address).into(), 32)?)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            Some(prefix(u128::from(base), 128)? == prefix(u128::from(address), 128)?)
        }
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(policy: &Policy, domain: &str) -> Vec<String> {
        policy
            .endpoints(domain)
            .unwrap()
            .iter()
            .map(|way| format!("{}{}", way.origin, way.root.trim_end_matches("/v2")))
            .collect()
    }

    #[test]
    fn mirrors_stand_for_the_default_registry_only() {
        let policy = Policy { mirrors: vec!["https://near.example/hub/".into()], ..Policy::default() };
        assert_eq!(ways(&policy, "docker.io"), ["https://near.example/hub", "https://registry-1.docker.io"]);
        assert_eq!(ways(&policy, "other.example:5000"), ["https://other.example:5000"]);
    }

    #[test]
    fn plain_http_only_where_declared() {
        let insecure = vec!["plain.example:5000".into(), "10.1.0.0/16".into()];
        let policy = Policy { insecure, ..Policy::default() };
        assert_eq!(ways(&policy, "plain.example:5000"), ["https://plain.example:5000", "http://plain.example:5000"]);
        assert_eq!(ways(&policy, "10.1.2.3:5000").len(), 2);
        assert_eq!(ways(&policy, "10.2.2.3:5000").len(), 1);
        assert_eq!(ways(&policy, "plain.example").len(), 1);
        assert_eq!(ways(&policy, "localhost:5000").len(), 2);
        assert_eq!(ways(&policy, "127.0.0.1:5000").len(), 2);
    }
}
