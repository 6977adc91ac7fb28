//! `GET /_ping` and `HEAD /_ping`: is anybody there, and which API is spoken.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::IntoResponse,
};

fn headers() -> HeaderMap {
    HeaderMap::from_iter([
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (HeaderName::from_static("swarm"), HeaderValue::from_static("inactive")),
        // The classic builder, until there is another.
        (HeaderName::from_static("builder-version"), HeaderValue::from_static("1")),
    ])
}

pub async fn ping() -> impl IntoResponse {
    (headers(), "OK")
}

pub async fn ping_head() -> impl IntoResponse {
    headers()
}
