//! One upstream: which repositories it stands behind, and how it is reached.

use std::path::Path;

use berth_remote::{Client, Credentials, Policy, Repository};
use berth_spec::Reference;

use crate::{Error, Result, settings};

/// Docker's registry has another name in references.
const HUB: [&str; 2] = ["registry-1.docker.io", "docker.io"];

/// A registry that is mirrored.
#[derive(Debug)]
pub struct Upstream {
    /// Of names here; empty for all.
    pub prefix: String,
    /// Its own: connections, and downloads under way, are shared with no other upstream.
    pub client: Client,
    domain: String,
    path: String,
    policy: Policy,
    credentials: Option<Credentials>,
}

impl Upstream {
    /// Makes a setting usable.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn new(setting: &settings::Upstream, certificates: Option<&Path>) -> Result<Self> {
        let wrong = |reason: &str| Error::Setting { name: setting.url.clone(), reason: reason.to_owned() };
        let (scheme, rest) = setting.url.split_once("://").ok_or_else(|| wrong("it is no URL"))?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let domain = match host {
            host if HUB.contains(&host) => "docker.io".to_owned(),
            host if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => host.to_owned(),
            host if scheme == "http" => format!("{host}:80"),
            host => format!("{host}:443"),
        };
        let policy = Policy {
            insecure: if scheme == "http" { vec![domain.clone()] } else { Vec::new() },
            certificates: certificates.map(Path::to_owned).into_iter().collect(),
            ..Policy::default()
        };
        let credentials = setting.credentials.as_ref().map(|(username, password)| Credentials {
            username: username.clone(),
            password: password.clone(),
            ..Credentials::default()
        });
        let path = path.trim_matches('/').to_owned();
        let (prefix, client) = (setting.prefix.clone(), Client::default());
        let upstream = Self { prefix, client, domain, path, policy, credentials };
        upstream.reference("library/probe").map_err(|reason| wrong(&reason))?;
        Ok(upstream)
    }

    /// The repository's name there; `None` when it is not one of this upstream's.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<String> {
        let rest = match self.prefix.as_str() {
            "" => name,
            prefix => name.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        Some(if self.path.is_empty() { rest.to_owned() } else { format!("{}/{rest}", self.path) })
    }

    fn reference(&self, path: &str) -> std::result::Result<Reference, String> {
        Reference::parse(&format!("{}/{path}", self.domain)).map_err(|error| error.to_string())
    }

    /// The repository there, for reading.
    ///
    /// # Errors
    /// Those of `berth-remote`.
    pub fn repository(&self, path: &str) -> berth_remote::Result<Repository> {
        let reference = self
            .reference(path)
            .map_err(|reason| berth_remote::Error::Manifest { reference: path.to_owned(), reason })?;
        self.client.repository(&reference, &self.policy, self.credentials.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(prefix: &str, url: &str) -> Upstream {
        let setting = settings::Upstream { prefix: prefix.to_owned(), url: url.to_owned(), credentials: None };
        Upstream::new(&setting, None).unwrap()
    }

    #[test]
    fn names_here_become_names_there() {
        let hub = upstream("docker.io", "https://registry-1.docker.io");
        assert_eq!(hub.path("docker.io/library/debian").as_deref(), Some("library/debian"));
        assert_eq!((hub.path("docker.iox/a"), hub.path("docker.io"), hub.path("quay.io/a")), (None, None, None));
        let all = upstream("", "http://127.0.0.1:5001/team");
        assert_eq!(all.path("app").as_deref(), Some("team/app"));
        assert_eq!(upstream("", "http://registry").domain, "registry:80");
    }
}
