//! `GET /volumes/{name}/export` and `POST /volumes/{name}/import`; berth's own. Both speak tar.

use std::sync::Arc;

use axum::extract::{Request, State};
use berth_container::{consume, produce};

use crate::{Engine, body, failure::Answer, name::Name, stream};

pub async fn export(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    let held = engine.volumes.hold(&name, "export").await?;
    let bytes = produce(move |output| berth_volume::export(&held, output).map_err(std::io::Error::other))?;
    Ok(stream::bytes(stream::TAR, bytes))
}

pub async fn import(State(engine): State<Arc<Engine>>, Name(name): Name, request: Request) -> Answer {
    engine.volumes.import(&name, consume(body::stream(request.into_body()))?).await?;
    stream::done()
}
