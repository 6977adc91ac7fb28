//! From method-less paths to what they name (OCI distribution specification, "Endpoints").

use crate::{
    digest::Digest,
    name::{is_repository, is_tag},
};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`.
    Base,
    /// `/v2/_catalog`.
    Catalog,
    /// `/token`.
    Token,
    /// `/metrics`.
    Metrics,
    /// Something in a repository.
    Repository(String, Part),
}

/// What a path names in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// `blobs/<digest>`.
    Blob(Digest),
    /// `blobs/uploads/`.
    Uploads,
    /// `blobs/uploads/<id>`.
    Upload(String),
    /// `manifests/<digest>`.
    Manifest(Digest),
    /// `manifests/<tag>`.
    Tag(String),
    /// `tags/list`.
    Tags,
    /// `referrers/<digest>`.
    Referrers(Digest),
}

/// Why a path names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrouted {
    /// It is no endpoint.
    NotFound,
    /// The repository's name is none.
    Name,
    /// The digest is none.
    Digest,
    /// Neither tag nor digest.
    Reference,
}

/// Longest path that is read at all, in bytes.
const PATH_BYTES_MAX: usize = 1024;
/// Length of an upload's identifier.
pub const UPLOAD_ID_BYTES: usize = 36;

/// Reads a path. It is not decoded: no name that is allowed needs that.
///
/// # Errors
/// [`Unrouted`] says which part is wrong.
pub fn parse(path: &str) -> Result<Route, Unrouted> {
    if path.len() > PATH_BYTES_MAX {
        return Err(Unrouted::NotFound);
    }
    match path {
        "/v2" | "/v2/" => return Ok(Route::Base),
        "/v2/_catalog" => return Ok(Route::Catalog),
        "/token" => return Ok(Route::Token),
        "/metrics" => return Ok(Route::Metrics),
        _ => {}
    }
    let rest = path.strip_prefix("/v2/").ok_or(Unrouted::NotFound)?;
    let (name, part) = split(rest)?;
    if !is_repository(name) {
        return Err(Unrouted::Name);
    }
    Ok(Route::Repository(name.to_owned(), part?))
}

/// The repository's name ends where the last word of an endpoint begins: `a/blobs/b/tags/list` is repository `a/blobs/b`.
fn split(rest: &str) -> Result<(&str, Result<Part, Unrouted>), Unrouted> {
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return Ok((name, Ok(Part::Tags)));
    }
    if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
        return Ok((name, Ok(Part::Uploads)));
    }
    let (head, last) = rest.rsplit_once('/').ok_or(Unrouted::NotFound)?;
    if let Some(name) = head.strip_suffix("/blobs/uploads") {
        let part = if is_upload(last) { Ok(Part::Upload(last.to_owned())) } else { Err(Unrouted::NotFound) };
        return Ok((name, part));
    }
    let (name, word) = head.rsplit_once('/').ok_or(Unrouted::NotFound)?;
    let digest = || Digest::parse(last).map_err(|_| Unrouted::Digest);
    let part = match word {
        "blobs" => digest().map(Part::Blob),
        "referrers" => digest().map(Part::Referrers),
        "manifests" if last.contains(':') => digest().map(Part::Manifest),
        "manifests" if is_tag(last) => Ok(Part::Tag(last.to_owned())),
        "manifests" => Err(Unrouted::Reference),
        _ => return Err(Unrouted::NotFound),
    };
    Ok((name, part))
}

fn is_upload(id: &str) -> bool {
    id.len() == UPLOAD_ID_BYTES
        && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(name: &str, part: Part) -> Result<Route, Unrouted> {
        Ok(Route::Repository(name.to_owned(), part))
    }

    #[test]
    fn paths_name_what_the_specification_says() {
        let hex = format!("sha256:{}", "a".repeat(64));
        let digest = Digest::parse(&hex).unwrap();
        let id = "0123abcd-0123-4567-89ab-0123456789ab";
        for (path, expected) in [
            ("/v2/".to_owned(), Ok(Route::Base)),
            ("/v2/_catalog".to_owned(), Ok(Route::Catalog)),
            (format!("/v2/a/b/blobs/{hex}"), repository("a/b", Part::Blob(digest.clone()))),
            ("/v2/a/blobs/uploads/".to_owned(), repository("a", Part::Uploads)),
            (format!("/v2/a/blobs/uploads/{id}"), repository("a", Part::Upload(id.to_owned()))),
            ("/v2/a/manifests/latest".to_owned(), repository("a", Part::Tag("latest".to_owned()))),
            (format!("/v2/a/manifests/{hex}"), repository("a", Part::Manifest(digest.clone()))),
            ("/v2/a/blobs/tags/list".to_owned(), repository("a/blobs", Part::Tags)),
            (
                "/v2/manifests/manifests/manifests".to_owned(),
                repository("manifests", Part::Tag("manifests".to_owned())),
            ),
            (format!("/v2/a/referrers/{hex}"), repository("a", Part::Referrers(digest))),
        ] {
            assert_eq!(parse(&path), expected, "{path}");
        }
    }

    #[test]
    fn hostile_paths_name_nothing() {
        for (path, expected) in [
            ("", Unrouted::NotFound),
            ("/", Unrouted::NotFound),
            ("/v2/a", Unrouted::NotFound),
            ("/v2/../../etc/passwd", Unrouted::NotFound),
            ("/v2/../blobs/uploads/", Unrouted::Name),
            ("/v2//manifests/x", Unrouted::Name),
            ("/v2/A/manifests/x", Unrouted::Name),
            ("/v2/a%2fb/manifests/x", Unrouted::Name),
            ("/v2/a/manifests/..", Unrouted::Reference),
            ("/v2/a/manifests/sha256:..", Unrouted::Digest),
            ("/v2/a/blobs/sha256:..", Unrouted::Digest),
            ("/v2/a/blobs/latest", Unrouted::Digest),
            ("/v2/a/blobs/uploads/../x", Unrouted::NotFound),
            ("/v2/a/blobs/uploads/....................................", Unrouted::NotFound),
            ("/v2/a/referrers/x", Unrouted::Digest),
            ("/v2/tags/list", Unrouted::NotFound),
            ("/v1/_ping", Unrouted::NotFound),
        ] {
            assert_eq!(parse(path), Err(expected), "{path}");
        }
        assert_eq!(parse(&format!("/v2/{}/tags/list", "a/".repeat(600))), Err(Unrouted::NotFound));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(path in "/v2/[a-z/:.%é_-]{0,60}") {
            let _ = parse(&path);
        }
    }
}
