//! `POST /networks/prune`

use std::sync::Arc;

use axum::extract::State;
use berth_kit::time::{Timestamp, parse_point};
use serde::Serialize;

use super::list;
use crate::{Engine, Error, failure::Answer, query::Query, stream};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pruned {
    /// Null where nothing was removed, as Docker has it.
    networks_deleted: Option<Vec<String>>,
}

pub async fn prune(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let filters = query.filters()?;
    list::check(&filters, &["until", "label", "label!"])?;
    let until = match filters.get("until") {
        [] => None,
        [text] => Some(parse_point(text, Timestamp::now()).map_err(|error| Error::Invalid(error.to_string()))?),
        _ => return Err(Error::Invalid("more than one until filter specified".to_owned()).into()),
    };
    let networks_deleted = engine
        .networks
        .prune(|network| until.is_none_or(|until| network.created < until) && list::matches(&filters, network))
        .await?;
    stream::json(&Pruned { networks_deleted: stream::some(networks_deleted) })
}
