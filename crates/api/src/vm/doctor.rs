//! `GET /vm/doctor`

use std::sync::Arc;

use axum::extract::State;

use crate::{Engine, failure::Answer, stream};

pub async fn doctor(State(engine): State<Arc<Engine>>) -> Answer {
    stream::json(&engine.containers.examine_host().await?)
}
