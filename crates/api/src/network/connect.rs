//! `POST /networks/{id}/connect`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::IntoResponse as _};
use berth_spec::model::NetworkConnectRequest;

use crate::{Engine, Error, body::Json, failure::Answer, name::Name};

pub async fn connect(
    State(engine): State<Arc<Engine>>,
    Name(network): Name,
    Json(wanted): Json<NetworkConnectRequest>,
) -> Answer {
    if wanted.container.is_empty() {
        return Err(Error::Invalid("no container to connect is named".to_owned()).into());
    }
    engine.containers.connect(&wanted.container, &network, wanted.endpoint_config.unwrap_or_default()).await?;
    Ok(StatusCode::OK.into_response())
}
