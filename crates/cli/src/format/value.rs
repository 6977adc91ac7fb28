//! JSON into template values and back, keeping the order of an object's keys.
//!
//! Template maps are sorted, as Go's are; Docker's `{{json .State}}` keeps the order of the struct. So the order of every
//! object is kept beside the values, under the address of its map, which lives as long as the tree does.

use gotmpl::Value as Data;
use serde_json::{Map, Number, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// Fields that the API leaves out when they are empty, each with a field of the same object that is always there. A
/// template may ask for them; their JSON does not show them.
const OMITTED: &[(&str, &str)] = &[
    ("OOMKilled", "Health"),
    ("OnBuild", "ExposedPorts"),
    ("OnBuild", "Healthcheck"),
    ("OnBuild", "NetworkDisabled"),
    ("OnBuild", "Shell"),
    ("OnBuild", "StopSignal"),
    ("OnBuild", "StopTimeout"),
    ("NetworkMode", "Annotations"),
    ("NetworkMode", "Init"),
    ("NetworkMode", "Mounts"),
    ("NetworkMode", "StorageOpt"),
    ("NetworkMode", "Sysctls"),
    ("NetworkMode", "Tmpfs"),
    ("LogPath", "SizeRootFs"),
    ("LogPath", "SizeRw"),
];

/// Orders of keys by the address of the map.
#[derive(Clone, Default)]
pub struct Orders(Arc<Mutex<HashMap<usize, Vec<Arc<str>>>>>);

impl Orders {
    /// `json` as a template value.
    #[must_use]
    pub fn data(&self, json: &Value) -> Data {
        match json {
            Value::Null => Data::Nil,
            Value::Bool(flag) => Data::Bool(*flag),
            Value::String(text) => Data::String(text.as_str().into()),
            Value::Array(items) => Data::List(items.iter().map(|item| self.data(item)).collect()),
            Value::Object(fields) => self.map(fields),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(int), ..) => Data::Int(int),
                (None, Some(uint), _) => Data::Uint(uint),
                (.., float) => Data::Float(float.unwrap_or(0.0)),
            },
        }
    }

    fn map(&self, fields: &Map<String, Value>) -> Data {
        let order: Vec<Arc<str>> = fields.keys().map(|key| key.as_str().into()).collect();
        let mut entries: BTreeMap<Arc<str>, Data> =
            order.iter().zip(fields.values()).map(|(key, value)| (key.clone(), self.data(value))).collect();
        for (_, field) in
            OMITTED.iter().filter(|(mark, field)| fields.contains_key(*mark) && !fields.contains_key(*field))
        {
            entries.insert((*field).into(), Data::Nil);
        }
        let entries = Arc::new(entries);
        let address = Arc::as_ptr(&entries) as usize;
        self.0.lock().unwrap_or_else(|e| e.into_inner()).insert(address, order);
        Data::Map(entries)
    }

    /// Keeps `key` of the map `data` out of its JSON.
    pub fn hide(&self, data: &Data, key: &str) {
        if let Data::Map(entries) = data {
            let shown = entries.keys().filter(|name| name.as_ref() != key).cloned().collect();
            let address = Arc::as_ptr(entries) as usize;
            self.0.lock().unwrap_or_else(|e| e.into_inner()).insert(address, shown);
        }
    }

    /// A template value as JSON; functions are left out.
    #[must_use]
    pub fn json(&self, data: &Data) -> Value {
        match data {
            Data::Bool(flag) => Value::Bool(*flag),
            Data::Int(int) => (*int).into(),
            Data::Uint(uint) => (*uint).into(),
            Data::Float(float) => Number::from_f64(*float).map_or(Value::Null, Value::Number),
            Data::String(text) => Value::String(text.to_string()),
            Data::List(items) => Value::Array(items.iter().map(|item| self.json(item)).collect()),
            Data::Map(entries) => {
                let address = Arc::as_ptr(entries) as usize;
                let order = self.0.lock().unwrap_or_else(|e| e.into_inner()).get(&address).cloned();
                let keys = order.unwrap_or_else(|| entries.keys().cloned().collect());
                let field = |key: Arc<str>| Some((key.to_string(), self.json(entries.get(&key)?)));
                Value::Object(keys.into_iter().filter_map(field).collect())
            }
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives() {
        let json: Value = serde_json::from_str(r#"{"b":1,"a":{"z":null,"c":[1.5,"x"]}}"#).unwrap();
        let orders = Orders::default();
        let data = orders.data(&json);
        assert_eq!(orders.json(&data).to_string(), json.to_string());
    }
}
