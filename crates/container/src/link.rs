//! Legacy links (`--link NAME:ALIAS`): a container on the default bridge knows others by name, in its hosts file.

use berth_spec::model::EndpointSettings;

use crate::{Containers, Error, Result, record::Record};

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
