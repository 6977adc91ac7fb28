//! The readers of what clients send, for fuzzers: any bytes are taken or refused, and never more than that.

use berth_spec::model;

use crate::{body, filter, query::Query};

/// Bodies of the operations that make and change things: what is taken can be written again.
pub fn bodies(bytes: &[u8]) {
    fn one<T: serde::de::DeserializeOwned + serde::Serialize>(bytes: &[u8]) {
        match body::decode::<T>(bytes) {
            Ok(taken) => drop(serde_json::to_vec(&taken).expect("what was read can be written")),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    one::<model::ContainerCreateBody>(bytes);
    one::<model::HostConfig>(bytes);
    one::<model::ExecConfig>(bytes);
    one::<model::NetworkCreateRequest>(bytes);
    one::<model::NetworkConnectRequest>(bytes);
    one::<model::VolumeCreateRequest>(bytes);
}

/// A query: every kind of value in it is asked for.
pub fn query(text: &str) {
    let query = Query::parse(text);
    for name in ["all", "limit", "filters", "since", "t"] {
        let _ = (query.flag("all"), query.number::<i64>("limit"), query.all(name));
        if let Some(filters) = query.get(name) {
            let _ = filter::parse(filters);
        }
    }
}
