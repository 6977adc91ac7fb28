//! Answers: one JSON document, a stream of documents, a stream of bytes.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use berth_container::ByteStream;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    Error,
    failure::{Answer, chain},
    version::Version,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// JSON documents one after the other, plain first; a line each, but for the last.
const STREAMS: [&str; 4] = ["application/json", "application/jsonl", "application/x-ndjson", JSON_SEQUENCE];
const JSON_SEQUENCE: &str = "application/json-seq";
/// Archives.
pub const TAR: HeaderValue = HeaderValue::from_static("application/x-tar");
const RAW: HeaderValue = HeaderValue::from_static("application/vnd.docker.raw-stream");
const MULTIPLEXED: HeaderValue = HeaderValue::from_static("application/vnd.docker.multiplexed-stream");
/// How much is read at once from an asynchronous reader, in bytes.
const CHUNK: usize = 64 << 10;

/// `value` with status 200.
pub fn json(value: &impl Serialize) -> Answer {
    json_with(StatusCode::OK, value)
}

/// `value` with another status.
pub fn json_with(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut bytes = serde_json::to_vec(value).map_err(Error::Encode)?;
    bytes.push(b'\n');
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    Ok(response)
}

/// A list that Docker leaves out when it is empty.
pub fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

/// Success without a body.
pub fn done() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Bytes as they come.
pub fn bytes(kind: HeaderValue, stream: ByteStream) -> Response {
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// JSON documents, a line each; a failure ends the stream as `{"message": …}`.
pub fn documents<T: Serialize, E: std::error::Error>(
    stream: impl Stream<Item = Result<T, E>> + Send + 'static,
) -> Response {
    documents_as(STREAMS[0], stream)
}

/// As [`documents`], in the form of `kind`: a JSON text sequence (RFC 7464) has a record separator before each.
pub fn documents_as<T: Serialize, E: std::error::Error>(
    kind: &'static str,
    stream: impl Stream<Item = Result<T, E>> + Send + 'static,
) -> Response {
    let separated = kind == JSON_SEQUENCE;
    let lines = stream.map(move |item| {
        let mut line = if separated { vec![0x1e] } else { Vec::new() };
        match item {
            Ok(value) => serde_json::to_writer(&mut line, &value)?,
            Err(error) => serde_json::to_writer(&mut line, &serde_json::json!({ "message": chain(&error) }))?,
        }
        line.push(b'\n');
        Ok(Bytes::from(line))
    });
    bytes(HeaderValue::from_static(kind), Box::pin(lines))
}

/// The form of a stream of documents that a client's `Accept` header asks for: the first that is known, or else plain
/// JSON, which is what clients from before API 1.52 read.
pub fn accepted(headers: &HeaderMap) -> &'static str {
    let texts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = texts.flat_map(|text| text.split(',')).map(|kind| kind.split(';').next().unwrap_or("").trim());
    kinds.find_map(|kind| STREAMS.into_iter().find(|known| *known == kind)).unwrap_or(STREAMS[0])
}

/// What an asynchronous reader gives.
pub fn read(reader: impl AsyncRead + Send + Unpin + 'static) -> ByteStream {
    Box::pin(futures_util::stream::try_unfold(reader, |mut reader| async move {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        let read = reader.read_buf(&mut buffer).await?;
        Ok((read > 0).then(|| (buffer.freeze(), reader)))
    }))
}

/// The Content-Type of a container's output: frames are announced since API 1.42.
pub fn output_type(tty: bool, version: Version) -> HeaderValue {
    if !tty && version >= Version::new(1, 42) { MULTIPLEXED } else { RAW }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_form_is_taken() {
        let with = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            accepted(&headers)
        };
        assert_eq!(accepted(&HeaderMap::new()), "application/json");
        assert_eq!(with("*/*"), "application/json");
        assert_eq!(with("application/x-ndjson, application/json"), "application/x-ndjson");
        assert_eq!(with("text/html, application/json-seq;q=0.9"), JSON_SEQUENCE);
        assert_eq!(with("application/jsonl"), "application/jsonl");
    }
}
