//! `GET /vm/machines/{name}/xml` and `POST /vm/import-xml`

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use super::whole;
use crate::{Engine, body, failure::Answer, name::Name, query::Query, stream};

pub async fn export(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    let mut response = Response::new(Body::from(engine.machines.export_xml(&name)?));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Ok(response)
}

pub async fn import(State(engine): State<Arc<Engine>>, query: Query, request: Request) -> Answer {
    let strict = query.flag("strict")?;
    let (text, name) = (body::text(request).await?, query.text("name"));
    let imported = whole(async move { engine.machines.import_xml(&text, name.as_deref(), strict).await }).await?;
    stream::json_with(StatusCode::CREATED, &imported)
}
