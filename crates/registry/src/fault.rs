//! Refusals as they go over the wire (OCI distribution specification, "Error Codes").

use hyper::{HeaderMap, StatusCode, header::HeaderValue};
use serde_json::json;

/// A refusal: status, code, words.
#[derive(Debug)]
pub struct Fault {
    /// Of the answer.
    pub status: StatusCode,
    /// One of the specification's codes.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// More headers.
    pub headers: HeaderMap,
}

/// Result of a handler.
pub type Outcome<T> = Result<T, Fault>;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident: $status:ident, $code:literal, $message:literal;)*) => {
        impl Fault {
            $($(#[$doc])*
            #[must_use]
            pub fn $name() -> Self {
                Self::new(StatusCode::$status, $code, $message)
            })*
        }
    };
}

faults! {
    /// No such blob in the repository.
    blob_unknown: NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry";
    /// No such upload.
    upload_unknown: NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry";
    /// The digest is none, or not that of the content.
    digest_invalid: BAD_REQUEST, "DIGEST_INVALID", "provided digest did not match uploaded content";
    /// No such manifest.
    manifest_unknown: NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown";
    /// The name is none.
    name_invalid: BAD_REQUEST, "NAME_INVALID", "invalid repository name";
    /// No such repository.
    name_unknown: NOT_FOUND, "NAME_UNKNOWN", "repository name not known to registry";
    /// Who is asking?
    unauthorized: UNAUTHORIZED, "UNAUTHORIZED", "authentication required";
    /// Not allowed.
    denied: FORBIDDEN, "DENIED", "requested access to the resource is denied";
    /// No such operation here.
    unsupported: METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported";
    /// No such endpoint.
    not_found: NOT_FOUND, "NOT_FOUND", "no such endpoint";
    /// A limit of rate or number.
    too_many: TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "too many requests";
}

impl Fault {
    /// Any fault.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: HeaderMap::new() }
    }

    /// A manifest that cannot be stored.
    #[must_use]
    pub fn manifest_invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message)
    }

    /// Something that is too large.
    #[must_use]
    pub fn too_large(code: &'static str, limit: u64) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, code, format!("larger than the limit of {limit} bytes"))
    }

    /// A chunk at the wrong place.
    #[must_use]
    pub fn range() -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", "the chunk is out of order")
    }

    /// A page parameter that is no number, or too large.
    #[must_use]
    pub fn page(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", message)
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        json!({"errors": [{"code": self.code, "message": self.message, "detail": null}]}).to_string().into_bytes()
    }
}

impl From<crate::Error> for Fault {
    fn from(error: crate::Error) -> Self {
        use berth_kit::{Kind, Kinded};
        let (status, code) = match error.kind() {
            Kind::NotFound => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
            Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        };
        // Paths and causes are for the log, not for strangers.
        tracing::error!(%error, "a request failed");
        Self::new(status, code, "the registry cannot do that now")
    }
}
