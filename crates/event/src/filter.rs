//! Which events a client asked for (Engine API, `GET /events`, `filters`).

use berth_spec::event::{Event, Filter};

/// Whether `event` passes every key of `filter`; the values of one key are alternatives.
#[must_use]
pub fn matches(filter: &Filter, event: &Event) -> bool {
    filter.terms.iter().all(|(key, values)| values.is_empty() || values.iter().any(|value| term(key, value, event)))
}

fn term(key: &str, value: &str, event: &Event) -> bool {
    let attribute = |name: &str| event.actor.attributes.get(name).map(String::as_str);
    match key {
        "event" => event.action == value || event.action.split(':').next() == Some(value),
        "type" => event.typ == value,
        "scope" => event.scope == value,
        "daemon" | "container" | "volume" | "network" | "plugin" | "service" | "node" | "secret" | "config" => {
            event.typ == key && names(value, event)
        }
        "image" => {
            (event.typ == "image" && names(value, event))
                || attribute("image").is_some_and(|image| image == value || untagged(image) == value)
        }
        "label" => match value.split_once('=') {
            Some((name, wanted)) => attribute(name) == Some(wanted),
            None => attribute(value).is_some(),
        },
        _ => false,
    }
}

fn names(value: &str, event: &Event) -> bool {
    event.actor.id == value
        || (value.len() >= 4 && event.actor.id.starts_with(value))
        || event.actor.attributes.get("name").is_some_and(|name| name == value || untagged(name) == value)
}

fn untagged(image: &str) -> &str {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Bus;

    fn passes(terms: &[(&str, &[&str])]) -> bool {
        let bus = Bus::default();
        let mut live = bus.subscribe(None).live;
        let attributes = [("name", "web"), ("image", "nginx:1"), ("tier", "front")];
        let attributes = attributes.map(|(k, v)| (k.to_owned(), v.to_owned()));
        bus.publish("container", "health_status: healthy", "abcdef", BTreeMap::from(attributes));
        let terms = terms.iter().map(|(k, v)| ((*k).to_owned(), v.iter().map(|v| (*v).to_owned()).collect()));
        matches(&Filter { terms: terms.collect() }, &live.try_recv().unwrap())
    }

    #[test]
    fn keys_must_all_match_values_are_alternatives() {
        assert!(passes(&[("type", &["image", "container"]), ("event", &["health_status"])]));
        assert!(passes(&[("container", &["web"]), ("image", &["nginx"]), ("label", &["tier=front"])]));
        assert!(passes(&[("container", &["abcde"])]));
        assert!(!passes(&[("type", &["container"]), ("event", &["die"])]));
        assert!(!passes(&[("label", &["tier=back"])]));
        assert!(!passes(&[("unheard-of", &["x"])]));
    }
}
