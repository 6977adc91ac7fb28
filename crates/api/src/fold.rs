//! JSON keys in any case, as Docker's daemon takes them: `detachKeys` means `DetachKeys`.
//!
//! Only keys of structures are folded, since a structure knows the names of its fields; keys of maps (labels, options)
//! are the user's own.

use serde::{
    Deserializer,
    de::{
        Error as _, IntoDeserializer, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Map, Value};

/// A value whose objects are read without regard to the case of their keys.
pub struct Folded(pub Value);

impl<'de> IntoDeserializer<'de, Error> for Folded {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Folded {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(list) => list_of(list, visitor),
            Value::Object(map) => map_of(map, visitor),
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => map_of(fold(map, fields), visitor),
            other => Self(other).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// Gives each key the case of the field that it means; one that is written exactly goes before others.
fn fold(map: Map<String, Value>, fields: &[&str]) -> Map<String, Value> {
    if map.keys().all(|key| fields.contains(&key.as_str())) {
        return map;
    }
    let exact: Vec<String> = map.keys().filter(|key| fields.contains(&key.as_str())).cloned().collect();
    let meant = |key: String| match fields.iter().find(|field| field.eq_ignore_ascii_case(&key)) {
        Some(field) if !exact.iter().any(|taken| taken == field) => (*field).to_owned(),
        _ => key,
    };
    map.into_iter().map(|(key, value)| (meant(key), value)).collect()
}

fn list_of<'de, V: Visitor<'de>>(list: Vec<Value>, visitor: V) -> Result<V::Value, Error> {
    let length = list.len();
    let mut items = SeqDeserializer::new(list.into_iter().map(Folded));
    let value = visitor.visit_seq(&mut items)?;
    items.end().map_err(|_: Error| Error::invalid_length(length, &"fewer elements in the list"))?;
    Ok(value)
}

fn map_of<'de, V: Visitor<'de>>(map: Map<String, Value>, visitor: V) -> Result<V::Value, Error> {
    visitor.visit_map(MapDeserializer::new(map.into_iter().map(|(key, value)| (key, Folded(value)))))
}

#[cfg(test)]
mod tests {
    use berth_spec::model::{ContainerCreateBody, ExecConfig};
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_of_structures_are_folded_and_those_of_maps_are_not() {
        let exec = ExecConfig::deserialize(Folded(json!({"detachKeys": "ctrl-a", "CMD": ["x"], "Tty": true}))).unwrap();
        assert_eq!((exec.detach_keys.as_deref(), exec.cmd.unwrap()[0].as_str()), (Some("ctrl-a"), "x"));
        let body = json!({"image": "b", "Image": "a", "labels": {"Key": "1", "key": "2"},
            "hostconfig": {"binds": ["/a:/b"], "restartPolicy": {"name": "always"}, "memory": 5}});
        let body = ContainerCreateBody::deserialize(Folded(body)).unwrap();
        assert_eq!(body.image.as_deref(), Some("a"));
        assert_eq!(body.labels.unwrap().len(), 2);
        let host = body.host_config.unwrap();
        assert_eq!((host.memory, host.binds.unwrap().len()), (Some(5), 1));
        assert_eq!(host.restart_policy.unwrap().name.unwrap().to_string(), "always");
    }
}
