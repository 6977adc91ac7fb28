//! Looking for repositories: Docker's search of version 1, else the catalog (OCI distribution specification has none;
//! Docker Registry HTTP API V2, "Catalog").

use berth_spec::Reference;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    Client, Credentials, Error, Policy, Repository, Result, answer,
    origin::Origin,
    repository::{Access, Way},
    request::Wanted,
    tags::next_page,
};

/// Where Docker's own registry is searched.
const DEFAULT_SEARCH: &str = "index.docker.io";
/// Longest answer, in bytes, and most pages of a catalog.
const ANSWER_BYTES_MAX: usize = 4 << 20;
const PAGES_MAX: usize = 20;

/// A repository that was found (Engine API, `ImageSearch`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// `library/debian`, or with the registry before it.
    #[serde(default)]
    pub name: String,
    /// One line.
    #[serde(default, deserialize_with = "or_empty")]
    pub description: String,
    /// Stars users gave.
    #[serde(default)]
    pub star_count: i64,
    /// One of the registry's own.
    #[serde(default)]
    pub is_official: bool,
    /// Built by the registry.
    #[serde(default)]
    pub is_automated: bool,
}

fn or_empty<'de, D: serde::Deserializer<'de>>(from: D) -> std::result::Result<String, D::Error> {
    Ok(Option::<String>::deserialize(from)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Results {
    #[serde(default)]
    results: Vec<Found>,
}

#[derive(Deserialize)]
struct Catalog {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

impl Client {
    /// At most `limit` repositories whose names hold `term` on the registry `domain`.
    ///
    /// # Errors
    /// [`Error::Search`] when the registry offers none, and those of the connection.
    pub async fn search(
        &self,
        domain: &str,
        term: &str,
        limit: usize,
        policy: &Policy,
        credentials: Option<Credentials>,
    ) -> Result<Vec<Found>> {
        let invalid = |_| Error::Address { address: domain.to_owned(), reason: "not a registry" };
        let named = Reference::parse(&format!("{domain}/search")).map_err(invalid)?;
        let mut repository = Repository::new(self.clone(), &named, policy, credentials, Access::Pull)?;
        let is_default = domain == berth_spec::reference::DEFAULT_DOMAIN;
        if is_default {
            repository.ways.retain(|way| !way.endpoint.is_mirror);
            for way in &mut repository.ways {
                let search = Origin::new(way.endpoint.origin.is_tls, DEFAULT_SEARCH);
                way.endpoint.origin = search.unwrap_or(way.endpoint.origin.clone());
            }
        }
        let mut last = Err(repository.no_way());
        for way in repository.ways(|_| true) {
            last = repository.search_by(way, domain, term, limit, is_default).await;
            if !repository.goes_on(way, &last) {
                break;
            }
        }
        last
    }
}

impl Repository {
    async fn search_by(&self, way: &Way, domain: &str, term: &str, limit: usize, only_v1: bool) -> Result<Vec<Found>> {
        let query = serde_urlencoded::to_string([("q", term), ("n", &limit.to_string())]).unwrap_or_default();
        let url = format!("{}/v1/search?{query}", way.endpoint.origin);
        let response = self.ask(way, &Wanted::get(url.clone(), "application/json", &self.familiar)).await?;
        let unusable = |reason: String| Error::Search { registry: domain.to_owned(), reason };
        if response.status().is_success() {
            let body = answer::text(response, ANSWER_BYTES_MAX).await.map_err(unusable)?;
            if let Ok(Results { mut results }) = serde_json::from_slice(&body) {
                results.truncate(limit);
                return Ok(results);
            }
        } else if response.status() == StatusCode::TOO_MANY_REQUESTS || only_v1 {
            let reason = format!("Unexpected status code {}", response.status().as_u16());
            return Err(unusable(reason));
        }
        self.catalog(way, domain, term, limit).await
    }

    async fn catalog(&self, way: &Way, domain: &str, term: &str, limit: usize) -> Result<Vec<Found>> {
        let unusable = |reason: String| Error::Search { registry: domain.to_owned(), reason };
        let mut found = Vec::new();
        let mut url = format!("{}{}/_catalog?n=1000", way.endpoint.origin, way.endpoint.root);
        for _ in 0..PAGES_MAX {
            let response = self.call(way, &Wanted::get(url, "application/json", &self.familiar)).await;
            let response = match response {
                Err(Error::Status { status, .. }) => return Err(unusable(format!("Unexpected status code {status}"))),
                other => other?,
            };
            let next = next_page(&response, way);
            let body = answer::text(response, ANSWER_BYTES_MAX).await.map_err(unusable)?;
            let page: Catalog = serde_json::from_slice(&body).map_err(|error| unusable(error.to_string()))?;
            let names = page.repositories.unwrap_or_default();
            let fitting = names.into_iter().filter(|name| name.contains(term));
            found.extend(fitting.map(|name| Found { name: format!("{domain}/{name}"), ..Found::default() }));
            match next {
                Some(next) if found.len() < limit => url = next,
                _ => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}
