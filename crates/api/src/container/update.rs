//! `POST /containers/{id}/update`; beyond Docker's body, `PublishAdd` and `PublishRemove` change the ports of a container.

use std::sync::Arc;

use axum::extract::State;
use berth_spec::model::{HostConfig, PortMap};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    Engine, Error, Result,
    body::{self, Json},
    failure::Answer,
    name::Name,
    stream,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Updated {
    warnings: Vec<String>,
}

pub async fn update(
    State(engine): State<Arc<Engine>>,
    Name(id): Name,
    Json(mut wanted): Json<Map<String, Value>>,
) -> Answer {
    let add: PortMap = part(wanted.remove("PublishAdd"))?;
    let remove: PortMap = part(wanted.remove("PublishRemove"))?;
    let (only_ports, ports) = (wanted.is_empty(), !add.is_empty() || !remove.is_empty());
    let host: HostConfig = part(Some(Value::Object(wanted)))?;
    if ports {
        engine.containers.update_ports(&id, add, remove).await?;
    }
    if ports && only_ports {
        return stream::json(&Updated { warnings: Vec::new() });
    }
    stream::json(&Updated { warnings: engine.containers.update(&id, host).await? })
}

/// A part of the body; an absent one is empty.
fn part<T: DeserializeOwned + Default>(value: Option<Value>) -> Result<T> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(T::default()) };
    body::decode(&serde_json::to_vec(&value).map_err(Error::Encode)?)
}
