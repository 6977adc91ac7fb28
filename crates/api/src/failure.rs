//! The one place where an error becomes a status and a body.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use berth_kit::{Kind, Kinded};
use serde::Serialize;

/// An answer that says what went wrong.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    message: String,
}

/// Answer of a handler.
pub type Answer<T = Response> = std::result::Result<T, Failure>;

#[derive(Serialize)]
struct Message<'a> {
    message: &'a str,
}

impl<E: Kinded> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { status: status(error.kind()), message: chain(&error) }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if self.status == StatusCode::NOT_MODIFIED {
            return self.status.into_response();
        }
        let body = serde_json::to_vec(&Message { message: &self.message }).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// Docker's status of each kind.
fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::NotModified => StatusCode::NOT_MODIFIED,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::NotBuilt => StatusCode::NOT_IMPLEMENTED,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The error's text with the texts of its causes, each once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    without_numbers(text)
}

/// Without the standard library's ` (os error 2)`: the words before it say as much.
fn without_numbers(mut text: String) -> String {
    const OPENING: &str = " (os error ";
    let mut from = 0;
    while let Some(at) = text[from..].find(OPENING).map(|at| from + at) {
        let rest = &text[at + OPENING.len()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && rest[digits..].starts_with(')') {
            text.replace_range(at..at + OPENING.len() + digits + 1, "");
        }
        from = text.len().min(at + 1);
        while !text.is_char_boundary(from) {
            from += 1;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let io = std::io::Error::other("disk on fire");
        let error = crate::Error::Socket { act: "bind", address: "x".into(), source: io };
        assert_eq!(chain(&error), "cannot bind x: disk on fire");
        assert_eq!(Failure::from(error).status, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn the_kernels_numbers_are_left_out() {
        let error = crate::Error::Socket {
            act: "bind",
            address: "x (os error )".into(),
            source: std::io::Error::from_raw_os_error(2),
        };
        assert_eq!(chain(&error), "cannot bind x (os error ): No such file or directory");
        assert_eq!(without_numbers("a (os error 1): b (os error 22) ü".to_owned()), "a: b ü");
        assert_eq!(without_numbers("(os error 5) (os error 5".to_owned()), "(os error 5) (os error 5");
    }
}
