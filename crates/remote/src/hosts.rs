//! `hosts.toml`: the ways to one registry, in the layout of containerd (its documentation, "Registry Configuration").
//!
//! ```text
//! <certs.d>/<host[:port]>/hosts.toml      one registry; `host_port_` is understood too
//! <certs.d>/_default/hosts.toml           any other
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use hyper::{HeaderMap, Uri, header::HeaderName, header::HeaderValue};
use serde::Deserialize;

use crate::{
    Error, Policy, Result,
    origin::Origin,
    policy::{Abilities, Endpoint},
    trust::Trust,
};

/// Longest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Default, Deserialize)]
struct File {
    server: Option<String>,
    #[serde(default)]
    host: toml::Table,
    #[serde(flatten)]
    own: Host,
}

#[derive(Debug, Default, Deserialize)]
struct Host {
    capabilities: Option<Vec<String>>,
    ca: Option<Paths>,
    client: Option<Identities>,
    skip_verify: Option<bool>,
    #[serde(default)]
    override_path: bool,
    #[serde(default)]
    header: BTreeMap<String, Texts>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Paths {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Identities {
    One(PathBuf),
    Files(Vec<PathBuf>),
    Pairs(Vec<Vec<PathBuf>>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Policy {
    /// The ways that a `hosts.toml` gives for the registry `host`; `None` without one.
    pub(crate) fn hosts(&self, host: &str, namespace: &str) -> Result<Option<Vec<Endpoint>>> {
        let Some(path) = self.hosts_file(host) else { return Ok(None) };
        let wrong = |reason: String| Error::Hosts { path: path.clone(), reason };
        let size = std::fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(wrong(format!("more than {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let file: File = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        let mut ways = Vec::new();
        for (address, host) in file.host {
            let host: Host = host.try_into().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
            let mut way = self.declared(&address, &host, directory).map_err(wrong)?;
            way.is_mirror = true;
            way.namespace = Some(namespace.to_owned());
            ways.push(way);
        }
        match &file.server {
            Some(server) => ways.push(self.declared(server, &file.own, directory).map_err(wrong)?),
            None => ways.extend(self.direct(host)?),
        }
        Ok(Some(ways))
    }

    fn hosts_file(&self, host: &str) -> Option<PathBuf> {
        let mut names = vec![host.to_owned()];
        if let Some((name, port)) = host.rsplit_once(':') {
            names.push(format!("{name}_{port}_"));
        }
        names.push("_default".to_owned());
        let paths = names.iter().flat_map(|name| self.certificates.iter().map(move |root| root.join(name)));
        paths.map(|directory| directory.join("hosts.toml")).find(|path| path.exists())
    }

    fn declared(&self, address: &str, host: &Host, directory: &Path) -> std::result::Result<Endpoint, String> {
        let whole = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        let uri: Uri = whole.parse().map_err(|_| format!("{address:?} is no URL"))?;
        let origin = Origin::of(&uri).ok_or_else(|| format!("{address:?} is neither http nor https"))?;
        let path = uri.path().trim_end_matches('/');
        let root = match host.override_path || path.ends_with("/v2") {
            true => path.to_owned(),
            false => format!("{path}/v2"),
        };
        let mut trust = Trust::plain(!host.skip_verify.unwrap_or(self.is_insecure(&origin.authority())));
        let at = |path: &PathBuf| directory.join(path);
        match &host.ca {
            Some(Paths::One(path)) => trust.authorities.push(at(path)),
            Some(Paths::Many(paths)) => trust.authorities.extend(paths.iter().map(at)),
            None => {}
        }
        match &host.client {
            Some(Identities::One(path)) => trust.identities.push((at(path), at(path))),
            Some(Identities::Files(paths)) => trust.identities.extend(paths.iter().map(|path| (at(path), at(path)))),
            Some(Identities::Pairs(pairs)) => {
                for pair in pairs {
                    let first = pair.first().ok_or_else(|| "an empty pair in client".to_owned())?;
                    trust.identities.push((at(first), at(pair.get(1).unwrap_or(first))));
                }
            }
            None => {}
        }
        let abilities = match &host.capabilities {
            None => Abilities::ALL,
            Some(names) => abilities(names)?,
        };
        let headers = headers(&host.header)?;
        Ok(Endpoint { origin, root, trust, is_mirror: false, abilities, headers, namespace: None })
    }
}

fn abilities(names: &[String]) -> std::result::Result<Abilities, String> {
    let mut found = Abilities { pull: false, resolve: false, push: false };
    for name in names {
        match name.as_str() {
            "pull" => found.pull = true,
            "resolve" => found.resolve = true,
            "push" => found.push = true,
            other => return Err(format!("unknown capability {other:?}")),
        }
    }
    Ok(found)
}

fn headers(given: &BTreeMap<String, Texts>) -> std::result::Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, values) in given {
        let invalid = || format!("header {name:?} cannot be sent");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let values = match values {
            Texts::One(value) => std::slice::from_ref(value),
            Texts::Many(values) => values,
        };
        for value in values {
            headers.append(&name, HeaderValue::from_str(value).map_err(|_| invalid())?);
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(host: &str, text: &str) -> (tempfile::TempDir, Policy) {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join(host)).unwrap();
        std::fs::write(place.path().join(host).join("hosts.toml"), text).unwrap();
        let policy = Policy { certificates: vec![place.path().into()], ..Policy::default() };
        (place, policy)
    }

    #[test]
    fn the_whole_table() {
        let text = r#"
            server = "https://far.example"
            [host."http://near.example:5000"]
              capabilities = ["pull", "resolve"]
              [host."http://near.example:5000".header]
                x-team = ["a", "b"]
            [host."https://odd.example/v2/proxy"]
              override_path = true
              skip_verify = true
              ca = "own.crt"
              client = [["c.cert", "c.key"]]
            [host."https://prefix.example/hub"]
        "#;
        let (place, policy) = policy("far.example", text);
        let ways = policy.hosts("far.example", "far.example").unwrap().unwrap();
        let shown: Vec<String> = ways.iter().map(|way| format!("{}{}", way.origin, way.root)).collect();
        assert_eq!(
            shown,
            [
                "http://near.example:5000/v2",
                "https://odd.example/v2/proxy",
                "https://prefix.example/hub/v2",
                "https://far.example/v2"
            ]
        );
        assert!(!ways[0].abilities.push && ways[0].abilities.pull && ways[3].abilities.push);
        assert_eq!(ways[0].headers.get_all("x-team").iter().count(), 2);
        let own = place.path().join("far.example");
        assert_eq!(ways[1].trust.authorities, [own.join("own.crt")]);
        assert_eq!(ways[1].trust.identities, [(own.join("c.cert"), own.join("c.key"))]);
        assert!(!ways[1].trust.is_verified && ways[2].trust.is_verified);
        assert!(ways[..3].iter().all(|way| way.is_mirror) && !ways[3].is_mirror);
    }

    #[test]
    fn other_names_of_the_directory() {
        let (_place, with_port) = policy("far.example_5000_", "[host.\"https://m.example\"]");
        let ways = with_port.hosts("far.example:5000", "far.example:5000").unwrap().unwrap();
        assert_eq!((ways.len(), ways[1].origin.to_string()), (2, "https://far.example:5000".to_owned()));
        let (_place, default) = policy("_default", "server = \"https://all.example\"");
        assert_eq!(default.hosts("x.example", "x.example").unwrap().unwrap()[0].origin.host, "all.example");
        let (_place, none) = policy("a.example", "");
        assert!(none.hosts("b.example", "b.example").unwrap().is_none());
    }

    #[test]
    fn wrong_files_are_named() {
        for wrong in ["server = 1", "[host.\"ftp://x\"]", "[host.\"x\"]\ncapabilities = [\"fly\"]", "not toml"] {
            let (_place, policy) = policy("a.example", wrong);
            let error = policy.hosts("a.example", "a.example").unwrap_err();
            assert!(error.to_string().contains("hosts.toml"), "{error}");
        }
    }
}
