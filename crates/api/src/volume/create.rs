//! `POST /volumes/create`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use berth_spec::model::VolumeCreateRequest;

use crate::{Engine, Error, body::OptionalJson, failure::Answer, stream};

pub async fn create(
    State(engine): State<Arc<Engine>>,
    OptionalJson(wanted): OptionalJson<VolumeCreateRequest>,
) -> Answer {
    if wanted.cluster_volume_spec.is_some() {
        return Err(Error::NoCluster(
            "volumes of a cluster need one, and this engine is in none: leave ClusterVolumeSpec out",
        )
        .into());
    }
    let volume = engine
        .volumes
        .create(
            wanted.name.as_deref().unwrap_or_default(),
            wanted.driver.as_deref().unwrap_or_default(),
            wanted.driver_opts.unwrap_or_default(),
            wanted.labels.unwrap_or_default(),
        )
        .await?;
    stream::json_with(StatusCode::CREATED, &volume)
}
