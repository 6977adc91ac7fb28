//! Legacy links (`--link NAME:ALIAS`): a container on the default bridge knows others by name, in its hosts file, and
//! by variables that tell of their ports and their environment.

use berth_spec::model::EndpointSettings;

use crate::{Containers, Error, Result, identity, port, record::Record};

/// The two names of `NAME[:ALIAS]`; Docker's own form is `/name:/parent/alias`.
fn parse(text: &str) -> Option<(&str, &str)> {
    let (name, alias) = text.split_once(':').unwrap_or((text, text));
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    let name = name.trim_start_matches('/');
    (!name.is_empty() && !alias.is_empty() && !alias.contains(char::is_whitespace)).then_some((name, alias))
}

/// Links in the form in which Docker shows them: `/db:/web/alias`.
pub(crate) fn shown(record: &Record) -> Option<Vec<String>> {
    let links = record.host.links.as_ref()?;
    let pairs = links.iter().filter_map(|text| parse(text));
    Some(pairs.map(|(name, alias)| format!("/{name}:/{}/{alias}", record.name)).collect())
}

impl Containers {
    /// The links of an endpoint on a user's own network: whom this container alone finds under which name.
    pub(crate) fn endpoint_links(&self, asked: &EndpointSettings) -> Vec<(String, String)> {
        let pairs = asked.links.iter().flatten().filter_map(|text| parse(text));
        pairs.map(|(name, alias)| (name.to_owned(), alias.to_owned())).collect()
    }

    /// Checks that the containers a record links to exist.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the link, never "not found": clients would take the image for what is missing.
    pub(crate) fn check_links(&self, record: &Record) -> Result<()> {
        for text in record.host.links.iter().flatten() {
            let (name, _) = parse(text).ok_or_else(|| Error::Invalid(format!("bad format for links: {text}")))?;
            let found = self.shared.find(name);
            found.map_err(|error| Error::Invalid(format!("could not get container for {name}: {error}")))?;
        }
        Ok(())
    }

    /// Forgets a link, which is written `CONTAINER/ALIAS`.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], [`Error::NotFound`] for a link that is not there.
    pub async fn remove_link(&self, name: &str) -> Result<()> {
        let missing = || Error::Invalid(format!("\"{name}\" is no link: it is written CONTAINER/ALIAS"));
        let (owner, alias) = name.trim_start_matches('/').split_once('/').ok_or_else(missing)?;
        let container = self.shared.find(owner)?;
        let is_meant = |text: &String| parse(text).is_some_and(|(_, known)| known == alias);
        if !container.read().host.links.iter().flatten().any(is_meant) {
            return Err(Error::NoSuchLink(format!("/{owner}/{alias}")));
        }
        self.shared.change(&container, |record| {
            if let Some(links) = &mut record.host.links {
                links.retain(|text| !is_meant(text));
            }
        })?;
        if container.status().is_alive() {
            identity::remove_name(&self.shared.config.container_dir(&container.id), alias)?;
        }
        Ok(())
    }

    /// The variables that tell a container on the default bridge of those it links to.
    pub(crate) fn link_environment(&self, record: &Record) -> Vec<String> {
        let mut variables = Vec::new();
        let links = record.host.links.iter().flatten().filter(|_| record.network_mode() == "bridge");
        for (name, alias) in links.filter_map(|text| parse(text)) {
            let Ok(other) = self.shared.find(name) else { continue };
            let other = other.read().clone();
            let endpoint = other.network.networks.get("bridge");
            let address = endpoint.and_then(|endpoint| endpoint.ip_address.clone()).unwrap_or_default();
            variables.extend(variables_of(&record.name, alias, &other, &address));
        }
        variables
    }

    /// Addresses and names of what a record links to.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], or [`Error::Conflict`] with Docker's text for one that does not run.
    pub(crate) fn linked(&self, record: &Record) -> Result<Vec<(String, String)>> {
        let mut entries = Vec::new();
        // On networks of a user's own the network's name server knows them.
        let links = record.host.links.iter().flatten().filter(|_| record.network_mode() == "bridge");
        for (name, alias) in links.filter_map(|text| parse(text)) {
            let other = self.shared.find(name)?;
            let other = other.read();
            if !other.state.status.is_alive() {
                let (other, own) = (&other.name, &record.name);
                return Err(Error::Conflict(format!(
                    "Cannot link to a non running container: /{other} AS /{own}/{alias}"
                )));
            }
            let endpoint = other.network.networks.get("bridge");
            let address = endpoint.and_then(|endpoint| endpoint.ip_address.clone()).filter(|text| !text.is_empty());
            let Some(address) = address else { continue };
            let mut names = vec![alias, other.config.hostname.as_deref().unwrap_or(""), other.name.as_str()];
            names.retain(|name| !name.is_empty());
            names.dedup();
            entries.push((address, names.join(" ")));
        }
        Ok(entries)
    }
}

/// As Docker names them: `DB_NAME`, `DB_PORT` of the lowest port, `DB_PORT_5432_TCP…` of each, `DB_ENV_…`.
fn variables_of(owner: &str, alias: &str, other: &Record, address: &str) -> Vec<String> {
    let prefix = alias.to_uppercase().replace('-', "_");
    let mut ports: Vec<(u16, &'static str)> = Vec::new();
    for text in other.config.exposed_ports.iter().flatten() {
        if let Ok(port) = port::parse(text) {
            ports.extend(port.range.map(|number| (number, port.protocol)));
        }
    }
    // A TCP port goes before others of its number.
    ports.sort_by_key(|(number, protocol)| (*number, *protocol != "tcp"));
    let mut variables = Vec::new();
    if let Some((number, protocol)) = ports.first() {
        variables.push(format!("{prefix}_PORT={protocol}://{address}:{number}"));
    }
    for (number, protocol) in ports {
        let base = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        variables.push(format!("{base}={protocol}://{address}:{number}"));
        variables.push(format!("{base}_ADDR={address}"));
        variables.push(format!("{base}_PORT={number}"));
        variables.push(format!("{base}_PROTO={protocol}"));
    }
    variables.push(format!("{prefix}_NAME=/{owner}/{alias}"));
    let own = other.config.env.iter().flatten().filter_map(|entry| entry.split_once('='));
    let told = own.filter(|(name, _)| !matches!(*name, "HOME" | "PATH"));
    variables.extend(told.map(|(name, value)| format!("{prefix}_ENV_{name}={value}")));
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(parse("db:alias"), Some(("db", "alias")));
        assert_eq!(parse("db"), Some(("db", "db")));
        assert_eq!(parse("/db:/web/alias"), Some(("db", "alias")));
        for text in ["", ":", "db:", ":alias", "db:a b"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
