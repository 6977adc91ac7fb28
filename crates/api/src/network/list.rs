//! `GET /networks`

use std::sync::Arc;

use axum::extract::State;
use berth_container::Filters;
use berth_network::NetworkRecord;

use crate::{Engine, Error, Result, failure::Answer, query::Query, stream};

const KNOWN: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

pub async fn list(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let filters = query.filters()?;
    check(&filters, KNOWN)?;
    let networks = engine.networks.list();
    let mut views = Vec::with_capacity(networks.len());
    for network in networks.iter().filter(|network| matches(&filters, network)) {
        let endpoints = engine.networks.inspect(&network.id).map(|found| found.endpoints).unwrap_or_default();
        if fits_use(&filters, network, endpoints.is_empty()) {
            let mut view = super::view::network(network, &[]);
            view.containers = None;
            views.push(view);
        }
    }
    stream::json(&views)
}

/// Refuses filters other than `known`.
pub(super) fn check(filters: &Filters, known: &[&str]) -> Result<()> {
    match filters.0.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Error::Invalid(format!("invalid filter '{key}'"))),
        None => Ok(()),
    }
}

fn fits_use(filters: &Filters, network: &NetworkRecord, is_unused: bool) -> bool {
    let dangling = is_unused && !network.is_predefined();
    let fits = |value: &String| matches!(value.as_str(), "1" | "true") == dangling;
    filters.get("dangling").is_empty() || filters.get("dangling").iter().any(fits)
}

/// Whether name, id, driver, labels, scope and type pass.
pub(super) fn matches(filters: &Filters, network: &NetworkRecord) -> bool {
    let any = |key: &str, test: &dyn Fn(&str) -> bool| {
        let values = filters.get(key);
        values.is_empty() || values.iter().any(|value| test(value))
    };
    let kind = if network.is_predefined() { "builtin" } else { "custom" };
    any("name", &|value| network.name.contains(value))
        && any("id", &|value| network.id.starts_with(value))
        && any("driver", &|value| network.driver == value)
        && any("scope", &|value| value == "local")
        && any("type", &|value| value == kind)
        && filters.get("label").iter().all(|term| labelled(network, term))
        && !filters.get("label!").iter().any(|term| labelled(network, term))
}

fn labelled(network: &NetworkRecord, term: &str) -> bool {
    match term.split_once('=') {
        Some((key, value)) => network.labels.get(key).is_some_and(|have| have == value),
        None => network.labels.contains_key(term),
    }
}
