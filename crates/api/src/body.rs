//! Request bodies: JSON with a limit and an exact complaint, or bytes that stream through.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use berth_container::ByteStream;
use berth_kit::guard::{Guard, stands};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::runtime::Handle;

use crate::{Error, Result, failure::Failure, fold::Folded};

/// The longest JSON body taken, in bytes.
const JSON_MAX: usize = 4 << 20;
/// How long a JSON body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);

/// How much of an unwanted upload is still read, in bytes, and for how long.
const DRAIN_MAX: usize = 64 << 20;
const DRAIN: Duration = Duration::from_secs(5);

/// A JSON body that must be there.
pub struct Json<T>(pub T);

/// A JSON body, or the default when there is none.
pub struct OptionalJson<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> std::result::Result<Self, Failure> {
        let bytes = read(request).await?;
        if bytes.is_empty() {
            return Err(Error::Json("got EOF while reading request body".to_owned()).into());
        }
        Ok(Self(decode(&bytes)?))
    }
}

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> std::result::Result<Self, Failure> {
        let bytes = read(request).await?;
        if bytes.is_empty() || &*bytes == b"null" {
            return Ok(Self(T::default()));
        }
        Ok(Self(decode(&bytes)?))
    }
}

/// Reads a whole JSON body after a look at its Content-Type.
pub async fn read(request: Request) -> Result<Bytes> {
    let (parts, body) = request.into_parts();
    let limit = if stands(Guard::BodyLimit) { JSON_MAX } else { usize::MAX };
    let limited = Limited::new(body, limit).collect();
    let collected = tokio::time::timeout(ARRIVAL, limited)
        .await
        .map_err(|_| Error::Body(format!("it did not arrive within {} s", ARRIVAL.as_secs())))?
        .map_err(|error| match error.is::<LengthLimitError>() {
            true => Error::BodyTooLarge(JSON_MAX),
            false => Error::Body(error.to_string()),
        })?;
    let bytes = collected.to_bytes();
    check_type(&parts.headers, bytes.is_empty())?;
    Ok(bytes)
}

/// Reads a whole body as text.
pub async fn text(request: Request) -> Result<String> {
    let limited = Limited::new(request.into_body(), JSON_MAX).collect();
    let collected = tokio::time::timeout(ARRIVAL, limited)
        .await
        .map_err(|_| Error::Body(format!("it did not arrive within {} s", ARRIVAL.as_secs())))?
        .map_err(|error| match error.is::<LengthLimitError>() {
            true => Error::BodyTooLarge(JSON_MAX),
            false => Error::Body(error.to_string()),
        })?;
    String::from_utf8(collected.to_bytes().into()).map_err(|_| Error::Invalid("the body is no text".to_owned()))
}

/// No Content-Type is fine as long as there is no body.
fn check_type(headers: &HeaderMap, is_empty: bool) -> Result<()> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return if is_empty { Ok(()) } else { Err(Error::NoContentType) };
    };
    let value = value.to_str().unwrap_or("?");
    let media = value.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") || (is_empty && media.is_empty()) {
        return Ok(());
    }
    Err(Error::ContentType(media.to_owned()))
}

/// Decodes JSON; the complaint names the field.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let whole = Value::deserialize(&mut json).map_err(|error| Error::Json(error.to_string()))?;
    json.end().map_err(|_| Error::Json("unexpected content after JSON".to_owned()))?;
    serde_path_to_error::deserialize(Folded(whole)).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.inner().to_string();
        match choice(&path, &reason) {
            Some(text) => Error::Invalid(text),
            None if matches!(path.as_str(), "." | "?") => Error::Json(reason),
            None => Error::Json(format!("{path}: {reason}")),
        }
    })
}

/// Docker's own words for fields that take one of a few words.
fn choice(path: &str, reason: &str) -> Option<String> {
    let word = reason.strip_prefix("unknown variant `")?.split_once('`')?.0;
    if path.ends_with("RestartPolicy.Name") {
        let known = "use one of 'no', 'always', 'on-failure', or 'unless-stopped'";
        return Some(format!("invalid restart policy: unknown policy '{word}'; {known}"));
    }
    if path.contains("Mounts[") && path.ends_with("].Type") {
        return Some(format!("invalid mount config for type \"{word}\": mount type unknown"));
    }
    None
}

/// The body as a stream of bytes without a limit.
pub fn stream(body: Body) -> ByteStream {
    Box::pin(Upload { body: Some(body.into_data_stream()) })
}

/// A body that reads itself to its end when nobody wants it any more: a client that is still sending when it is
/// refused would otherwise see a broken connection instead of the reason.
struct Upload {
    body: Option<BodyDataStream>,
}

impl Stream for Upload {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let piece = std::task::ready!(Pin::new(body).poll_next(context));
        if piece.is_none() {
            self.body = None;
        }
        Poll::Ready(piece.map(|piece| piece.map_err(std::io::Error::other)))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(body), Ok(runtime)) = (self.body.take(), Handle::try_current()) else { return };
        runtime.spawn(tokio::time::timeout(DRAIN, drain(body)));
    }
}

async fn drain(mut body: BodyDataStream) {
    let mut left = DRAIN_MAX;
    while let Some(Ok(piece)) = body.next().await {
        match left.checked_sub(piece.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_spec::model;

    use super::*;

    #[test]
    fn complaints_name_the_field() {
        let bad = br#"{"Image":"x","Env":["a",5]}"#;
        let error = decode::<berth_spec::model::ContainerConfig>(bad).unwrap_err().to_string();
        assert!(error.starts_with("invalid JSON: Env[1]: invalid type"), "{error}");
        let error = decode::<serde_json::Value>(b"{} {}").unwrap_err().to_string();
        assert_eq!(error, "invalid JSON: unexpected content after JSON");
        assert!(decode::<serde_json::Value>(b"").is_err());
        let decode = |text: &[u8]| decode::<model::HostConfig>(text).unwrap_err().to_string();
        let error = decode(br#"{"RestartPolicy":{"Name":"sometimes"}}"#);
        assert!(error.starts_with("invalid restart policy: unknown policy 'sometimes'; use one of"), "{error}");
        let error = decode(br#"{"Mounts":[{"Type":"cloud"}]}"#);
        assert_eq!(error, "invalid mount config for type \"cloud\": mount type unknown");
    }
}
