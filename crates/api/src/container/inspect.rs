//! `GET /containers/{id}/json`

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Map, Value, json};

use crate::{Engine, Error, failure::Answer, name::Name, query::Query, stream, version::Version};

pub async fn inspect(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query, version: Version) -> Answer {
    let container = engine.containers.inspect(&id, query.flag("size")?).await?;
    if version >= Version::new(1, 52) {
        return stream::json(&container);
    }
    let mut container = serde_json::to_value(&container).map_err(Error::Encode)?;
    if let Some(Value::Object(settings)) = container.get_mut("NetworkSettings") {
        add_default_bridge(settings);
    }
    stream::json(&container)
}

/// Up to API 1.51 the endpoint on the default bridge also stood outside `Networks`.
fn add_default_bridge(settings: &mut Map<String, Value>) {
    let bridge = settings.get("Networks").and_then(|networks| networks.get("bridge")).cloned().unwrap_or_default();
    for key in ["EndpointID", "Gateway", "GlobalIPv6Address", "IPAddress", "IPv6Gateway", "MacAddress"] {
        let text = bridge.get(key).filter(|value| value.is_string()).cloned();
        settings.insert(key.to_owned(), text.unwrap_or_else(|| json!("")));
    }
    for key in ["GlobalIPv6PrefixLen", "IPPrefixLen"] {
        let number = bridge.get(key).filter(|value| value.is_number()).cloned();
        settings.insert(key.to_owned(), number.unwrap_or_else(|| json!(0)));
    }
    for (key, value) in [
        ("Bridge", json!("")),
        ("HairpinMode", json!(false)),
        ("LinkLocalIPv6Address", json!("")),
        ("LinkLocalIPv6PrefixLen", json!(0)),
        ("SecondaryIPAddresses", Value::Null),
        ("SecondaryIPv6Addresses", Value::Null),
    ] {
        settings.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_find_the_address_where_it_was() {
        let mut settings = Map::new();
        settings.insert("Networks".to_owned(), json!({"bridge": {"IPAddress": "172.17.0.2", "IPPrefixLen": 16}}));
        add_default_bridge(&mut settings);
        assert_eq!(settings["IPAddress"], "172.17.0.2");
        assert_eq!((settings["IPPrefixLen"].as_i64(), settings["Gateway"].as_str()), (Some(16), Some("")));
    }
}
