//! `POST /networks/{id}/disconnect`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::IntoResponse as _};
use berth_spec::model::NetworkDisconnectRequest;

use crate::{Engine, Error, body::Json, failure::Answer, name::Name};

pub async fn disconnect(
    State(engine): State<Arc<Engine>>,
    Name(network): Name,
    Json(wanted): Json<NetworkDisconnectRequest>,
) -> Answer {
    if wanted.container.is_empty() {
        return Err(Error::Invalid("no container to disconnect is named".to_owned()).into());
    }
    engine.containers.disconnect(&wanted.container, &network, wanted.force.unwrap_or(false)).await?;
    Ok(StatusCode::OK.into_response())
}
