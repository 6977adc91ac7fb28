//! `GET /vm/machines/{name}/xml` and `POST /vm/import-xml`

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use crate::{Engine, body, failure::Answer, name::Name, query::Query, stream};

pub async fn export(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    let mut response = Response::new(Body::from(engine.machines.export_xml(&name)?));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Ok(response)
}

pub async fn import(State(engine): State<Arc<Engine>>, query: Query, request: Request) -> Answer {
    let strict = query.flag("strict")?;
    let text = body::text(request).await?;
    let imported = engine.machines.import_xml(&text, query.get("name"), strict).await?;
    stream::json_with(StatusCode::CREATED, &imported)
}
