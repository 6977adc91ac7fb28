//! Which containers a list or prune is about (Engine API, `GET /containers/json`, `filters`).

use berth_kit::time::{Timestamp, parse_point};

use crate::{
    Containers, Error, Filters, Result,
    record::{Record, Status},
};

/// Keys of `ps --filter`.
const KEYS: &[&str] = &[
    "ancestor",
    "annotation",
    "before",
    "expose",
    "exited",
    "health",
    "id",
    "isolation",
    "is-task",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

/// A list's filters, checked and with names resolved.
pub(crate) struct Matcher<'a> {
    filters: &'a Filters,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    ancestors: Vec<String>,
}

impl<'a> Matcher<'a> {
    /// Checks `filters`.
    pub async fn new(containers: &Containers, filters: &'a Filters) -> Result<Self> {
        if let Some(key) = filters.0.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(Error::Invalid(format!("invalid filter '{key}'")));
        }
        for code in filters.get("exited") {
            code.parse::<i64>().map_err(|_| Error::Invalid(format!("invalid filter 'exited={code}'")))?;
        }
        for status in filters.get("status") {
            let known = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
            if !known.contains(&status.as_str()) {
                return Err(Error::Invalid(format!("invalid filter 'status={status}'")));
            }
        }
        for health in filters.get("health") {
            if !["starting", "healthy", "unhealthy", "none"].contains(&health.as_str()) {
                return Err(Error::Invalid(format!("invalid filter 'health={health}'")));
            }
        }
        for key in ["expose", "publish"] {
            for port in filters.get(key) {
                crate::port::parse(port).map_err(|_| Error::Invalid(format!("invalid filter '{key}={port}'")))?;
            }
        }
        for value in filters.get("is-task") {
            if !["true", "false", "1", "0"].contains(&value.to_ascii_lowercase().as_str()) {
                return Err(Error::Invalid(format!("invalid filter 'is-task={value}'")));
            }
        }
        let created = |key: &str| -> Result<Option<Timestamp>> {
            filters.get(key).first().map(|name| Ok(containers.shared.find(name)?.read().created)).transpose()
        };
        let mut ancestors = Vec::new();
        for name in filters.get("ancestor") {
            if let Ok(image) = containers.shared.images.resolve(name).await {
                ancestors.push(image.id.to_string());
            }
        }
        Ok(Self { filters, before: created("before")?, since: created("since")?, ancestors })
    }

    /// Whether the list asks for states that only `--all` would show.
    pub fn wants_stopped(&self) -> bool {
        !self.filters.get("status").is_empty() || !self.filters.get("exited").is_empty()
    }

    /// Whether a container belongs into the list.
    pub fn matches(&self, record: &Record, health: &str) -> bool {
        let any = |key: &str, fits: &dyn Fn(&str) -> bool| {
            let values = self.filters.get(key);
            values.is_empty() || values.iter().any(|value| fits(value))
        };
        let image = |name: &str| self.ancestors.contains(&record.image_id) || record.image_ref == name;
        any("id", &|value| record.id.starts_with(value))
            && any("name", &|value| name_fits(&record.name, value))
            && any("status", &|value| record.state.status.as_str() == value)
            && any("exited", &|value| {
                record.state.status == Status::Exited && value.parse() == Ok(record.state.exit_code)
            })
            && any("health", &|value| health == value || (health.is_empty() && value == "none"))
            && any("ancestor", &image)
            && self.filters.get("annotation").iter().all(|wanted| annotated(record, wanted))
            && any("volume", &|value| {
                record.mounts.iter().any(|m| m.name == value || m.destination == value || m.source == value)
            })
            && any("network", &|value| networks(record).any(|name| name == value) || on_network(record, value))
            && any("expose", &|value| record.config.exposed_ports.iter().flatten().any(|p| port_fits(p, value)))
            && any("publish", &|value| record.network.ports.keys().any(|p| port_fits(p, value)))
            && any("is-task", &|value| value.eq_ignore_ascii_case("false") || value == "0")
            && labels(record, self.filters)
            && self.before.is_none_or(|at| record.created < at)
            && self.since.is_none_or(|at| record.created > at)
    }
}

/// Whether a container has the annotation `key`, or `key=value`.
fn annotated(record: &Record, wanted: &str) -> bool {
    let Some(all) = &record.host.annotations else { return false };
    match wanted.split_once('=') {
        Some((key, value)) => all.get(key).is_some_and(|found| found == value),
        None => all.contains_key(wanted),
    }
}

fn on_network(record: &Record, id: &str) -> bool {
    let ids = record.endpoints.values().filter_map(|settings| settings.network_id.as_deref());
    id.len() >= 12 && ids.into_iter().any(|known| known.starts_with(id))
}

fn networks(record: &Record) -> impl Iterator<Item = &str> {
    record.endpoints.keys().map(String::as_str).chain(std::iter::once(record.network_mode()))
}

/// Names match by regular expression, with and without their leading slash; what is none matches as plain text.
fn name_fits(name: &str, pattern: &str) -> bool {
    match regex_lite::Regex::new(pattern) {
        Ok(expression) => expression.is_match(name) || expression.is_match(&format!("/{name}")),
        Err(_) => name.contains(pattern),
    }
}

fn port_fits(port: &str, wanted: &str) -> bool {
    match (crate::port::parse(port), crate::port::parse(wanted)) {
        (Ok(port), Ok(wanted)) => {
            port.protocol == wanted.protocol
                && wanted.range.start() <= port.range.end()
                && port.range.start() <= wanted.range.end()
        }
        _ => false,
    }
}

/// Whether the labels match `label` and `label!`: all of the first, none of the second.
pub(crate) fn labels(record: &Record, filters: &Filters) -> bool {
    let has = |wanted: &String| {
        let (key, value) = wanted.split_once('=').map_or((wanted.as_str(), None), |(key, value)| (key, Some(value)));
        let found = record.config.labels.as_ref().and_then(|labels| labels.get(key));
        found.is_some_and(|found| value.is_none_or(|value| value == found))
    };
    filters.get("label").iter().all(has) && !filters.get("label!").iter().any(has)
}

/// The `until` filter.
pub(crate) fn until(filters: &Filters) -> Result<Option<Timestamp>> {
    match filters.get("until") {
        [] => Ok(None),
        [text] => parse_point(text, Timestamp::now()).map(Some).map_err(|error| Error::Invalid(error.to_string())),
        _ => Err(Error::Invalid("more than one until filter specified".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ports() {
        assert!(name_fits("web_1", "web") && name_fits("web", "^/web$") && !name_fits("web_1", "^web$"));
        assert!(port_fits("80/tcp", "80") && port_fits("85/tcp", "80-90/tcp") && !port_fits("80/udp", "80/tcp"));
    }
}
