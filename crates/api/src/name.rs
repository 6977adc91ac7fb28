//! The name or identifier in a path.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use crate::{Error, failure::Failure};

/// The one variable part of a path, percent-decoded.
pub struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(rejection) => Err(Error::Path(rejection.body_text()).into()),
        }
    }
}
