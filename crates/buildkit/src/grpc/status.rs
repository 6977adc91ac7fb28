//! How a call ends: a code and a sentence.

use berth_kit::Kind;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

/// The codes of gRPC that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// The end of a call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// What kind of failure.
    pub code: Code,
    /// What happened.
    pub message: String,
}

impl berth_kit::Kinded for Status {
    fn kind(&self) -> Kind {
        match self.code {
            Code::InvalidArgument | Code::FailedPrecondition => Kind::Invalid,
            Code::NotFound => Kind::NotFound,
            Code::AlreadyExists => Kind::Conflict,
            Code::PermissionDenied => Kind::Forbidden,
            Code::Unauthenticated => Kind::Unauthorized,
            Code::ResourceExhausted => Kind::TooLarge,
            Code::Unimplemented => Kind::NotBuilt,
            Code::Unavailable => Kind::Unavailable,
            _ => Kind::Internal,
        }
    }
}

impl Status {
    /// A failure of any kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// The other side left.
    pub fn gone(message: impl std::fmt::Display) -> Self {
        Self::new(Code::Unavailable, message.to_string())
    }

    /// The trailers of an answer that ends so.
    pub(super) fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(self.code as i32));
        if let Ok(message) = HeaderValue::from_str(&escape(&self.message)) {
            trailers.insert("grpc-message", message);
        }
        trailers
    }

    /// The trailers of an answer that ends well.
    pub(super) fn ok() -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers
    }

    /// What trailers say.
    pub(super) fn read(trailers: &HeaderMap) -> Result<(), Self> {
        let code = trailers.get("grpc-status").and_then(|value| value.to_str().ok()).and_then(|code| code.parse().ok());
        let message = trailers.get("grpc-message").map(|value| unescape(value.as_bytes())).unwrap_or_default();
        match code {
            Some(0) => Ok(()),
            Some(code) => Err(Self::new(Code::of(code), message)),
            None => Err(Self::new(Code::Unknown, "the answer ended without a status")),
        }
    }
}

impl Code {
    /// The code of this number; those unknown here are [`Code::Unknown`].
    #[must_use]
    pub fn of(code: i32) -> Self {
        let known = [
            Self::Cancelled,
            Self::InvalidArgument,
            Self::NotFound,
            Self::AlreadyExists,
            Self::PermissionDenied,
            Self::ResourceExhausted,
            Self::FailedPrecondition,
            Self::Unimplemented,
            Self::Internal,
            Self::Unavailable,
            Self::Unauthenticated,
        ];
        known.into_iter().find(|known| *known as i32 == code).unwrap_or(Self::Unknown)
    }
}

impl From<h2::Error> for Status {
    fn from(error: h2::Error) -> Self {
        match error.reason() {
            Some(h2::Reason::CANCEL) => Self::new(Code::Cancelled, "the call was cancelled"),
            _ => Self::gone(error),
        }
    }
}

/// Percent-encoding of `grpc-message`: printable ASCII stays, `%` and the rest do not.
fn escape(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn unescape(message: &[u8]) -> String {
    let mut out = Vec::with_capacity(message.len());
    let mut at = 0;
    while let Some(byte) = message.get(at) {
        let pair = message.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match pair.and_then(|pair| std::str::from_utf8(pair).ok()).and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&Bytes::from(out)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_survive_their_trailers() {
        let status = Status::new(Code::NotFound, "no stage \u{e9}\n100%");
        assert_eq!(Status::read(&status.trailers()), Err(status));
        assert_eq!(Status::read(&Status::ok()), Ok(()));
        assert_eq!(Status::read(&HeaderMap::new()).expect_err("no status").code, Code::Unknown);
        assert_eq!(unescape(b"a%zz%4"), "a%zz%4");
    }
}
