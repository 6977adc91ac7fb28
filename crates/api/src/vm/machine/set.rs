//! `PATCH /vm/machines/{name}`

use std::sync::Arc;

use axum::extract::State;
use berth_machine::Set;
use serde_json::json;

use super::whole;
use crate::{Engine, body::Json, failure::Answer, name::Name, stream};

pub async fn set(State(engine): State<Arc<Engine>>, Name(name): Name, Json(wanted): Json<Set>) -> Answer {
    let later = whole(async move { engine.machines.set(&name, wanted).await }).await?;
    stream::json(&json!({"NextStart": later}))
}
