//! `POST /build/prune`.

use std::sync::Arc;

use axum::extract::State;
use berth_build::PruneRequest;
use berth_kit::time::{Timestamp, parse_point};
use serde_json::json;

use crate::{Engine, Error, failure::Answer, query::Query, stream};

pub async fn prune(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let mut wanted = PruneRequest { all: query.flag("all")?, ..PruneRequest::default() };
    for name in ["keep-storage", "reserved-space", "max-used-space"] {
        wanted.keep_bytes = wanted.keep_bytes.max(query.number(name)?.unwrap_or(0));
    }
    for (name, values) in query.filters()?.0 {
        for value in values {
            if matches!(name.as_str(), "until" | "unused-for") {
                let point = parse_point(&value, Timestamp::now()).map_err(|error| Error::Invalid(error.to_string()))?;
                wanted.unused_since = Some(point);
                continue;
            }
            wanted.filters.push((name.clone(), value));
        }
    }
    let report = engine.builder.prune(wanted).await?;
    let ids: Vec<&str> = report.removed.iter().map(|entry| entry.key.as_str()).collect();
    stream::json(&json!({ "CachesDeleted": stream::some(ids), "SpaceReclaimed": report.bytes }))
}
