//! API versions: `/v1.41/containers/json` and, for the newest, `/containers/json`.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{Uri, request::Parts, uri::PathAndQuery},
};

use crate::{Error, Result};

/// A version of the Engine API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u16,
    minor: u16,
}

impl Version {
    /// The version spoken when the path names none.
    pub const NEWEST: Self = Self::parse_known(berth_spec::API_VERSION);
    const OLDEST: Self = Self::parse_known(berth_spec::API_VERSION_MIN);

    /// `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Reads a constant of the form `d.dd`.
    const fn parse_known(text: &str) -> Self {
        let bytes = text.as_bytes();
        Self::new((bytes[0] - b'0') as u16, ((bytes[2] - b'0') * 10 + (bytes[3] - b'0')) as u16)
    }

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self::new(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl<S: Sync> FromRequestParts<S> for Version {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::NEWEST))
    }
}

/// Takes the version off the front of a path and checks it.
///
/// # Errors
/// [`Error::TooOld`], [`Error::TooNew`].
pub fn take(uri: &mut Uri) -> Result<Version> {
    let Some(whole) = uri.path_and_query() else { return Ok(Version::NEWEST) };
    let Some(rest) = whole.as_str().strip_prefix("/v") else { return Ok(Version::NEWEST) };
    let Some((text, _)) = rest.split_once('/') else { return Ok(Version::NEWEST) };
    let Some(version) = Version::parse(text) else { return Ok(Version::NEWEST) };
    if version < Version::OLDEST {
        return Err(Error::TooOld(text.to_owned()));
    }
    if version > Version::NEWEST {
        return Err(Error::TooNew(text.to_owned()));
    }
    let cut = "/v".len() + text.len();
    let rest: PathAndQuery = whole.as_str()[cut..].parse().map_err(|_| Error::NoPage)?;
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(rest);
    *uri = Uri::from_parts(parts).map_err(|_| Error::NoPage)?;
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        let check = |path: &str| {
            let mut uri: Uri = path.parse().unwrap();
            take(&mut uri).map(|version| (version, uri.to_string())).map_err(|error| error.to_string())
        };
        assert_eq!(check("/v1.41/info?x=1"), Ok((Version::new(1, 41), "/info?x=1".to_owned())));
        assert_eq!(check("/info"), Ok((Version::new(1, 55), "/info".to_owned())));
        assert_eq!(check("/v1/info"), Ok((Version::NEWEST, "/v1/info".to_owned())));
        assert_eq!(check("/volumes/x"), Ok((Version::NEWEST, "/volumes/x".to_owned())));
        assert_eq!(
            check("/v1.99/info"),
            Err("client version 1.99 is too new. Maximum supported API version is 1.55".to_owned())
        );
        assert!(check("/v1.23/info").unwrap_err().starts_with("client version 1.23 is too old. Minimum"));
    }
}
