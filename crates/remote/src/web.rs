//! Files at addresses that are no registry's: what `ADD https://…` names, contexts from the web.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{self, HeaderValue},
};

use crate::{
    Client, Error, Policy, Result,
    answer::PIECE_PATIENCE,
    connect::{self, Target},
    origin::Origin,
    payload::Source,
    trust::Trust,
};

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 10;

/// What to ask for.
#[derive(Debug, Clone, Default)]
pub struct WebRequest {
    /// `http://…` or `https://…`, without user information.
    pub address: String,
    /// The entity tag of what is here: the answer is [`WebAnswer::is_unchanged`] while it is the same.
    pub etag: Option<String>,
    /// `Last-Modified` of what is here.
    pub last_modified: Option<String>,
    /// `Authorization`, for the first host alone.
    pub authorization: Option<String>,
}

/// A file on its way here.
#[derive(Debug)]
pub struct WebAnswer {
    /// Where it was found in the end.
    pub address: String,
    /// What is here already is the same (304).
    pub is_unchanged: bool,
    response: Response<Incoming>,
}

impl Client {
    /// Asks for a file, over redirects.
    ///
    /// # Errors
    /// [`Error::Address`] for what is no address, [`Error::Status`] for any other answer than 200 and 304, and those
    /// of the connection.
    pub async fn web(&self, wanted: &WebRequest, policy: &Policy) -> Result<WebAnswer> {
        let mut address = wanted.address.clone();
        let mut first = None;
        for _ in 0..=REDIRECTS_MAX {
            let invalid = |reason| Error::Address { address: address.clone(), reason };
            // A fragment never goes out.
            let whole = address.split('#').next().unwrap_or_default();
            let uri: Uri = whole.parse().map_err(|_| invalid("not a URL"))?;
            let origin = Origin::of(&uri).ok_or_else(|| invalid("not http(s)://host[:port]/path"))?;
            let is_first = first.get_or_insert_with(|| origin.clone()) == &origin;
            let head = head(wanted, &uri, is_first).map_err(|_| invalid("not a URL"))?;
            let target = Target { client: self, policy, origin: &origin, trust: &Trust::plain(true) };
            let response = connect::send(&target, head, &Source::Empty).await?;
            let status = response.status();
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                let next = response.headers().get(header::LOCATION).and_then(|place| place.to_str().ok());
                address = next
                    .and_then(|next| join(&origin, &uri, next))
                    .ok_or_else(|| invalid("it redirects to nowhere"))?;
                continue;
            }
            if status != StatusCode::OK && status != StatusCode::NOT_MODIFIED {
                let request = crate::error::request(&Method::GET, &address);
                let reason = status.canonical_reason().unwrap_or_default().to_owned();
                return Err(Error::Status { request, status: status.as_u16(), reason });
            }
            return Ok(WebAnswer { address, is_unchanged: status == StatusCode::NOT_MODIFIED, response });
        }
        Err(Error::Address { address: wanted.address.clone(), reason: "it redirects too often" })
    }
}

fn head(wanted: &WebRequest, uri: &Uri, is_first: bool) -> hyper::http::Result<hyper::http::request::Parts> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(Method::GET).uri(if path.is_empty() { "/" } else { path });
    let agent = concat!("berth/", env!("CARGO_PKG_VERSION"));
    request = request.header(header::USER_AGENT, agent).header(header::ACCEPT_ENCODING, "identity");
    request = request.header(header::ACCEPT, "*/*");
    let conditions = [(header::IF_NONE_MATCH, &wanted.etag), (header::IF_MODIFIED_SINCE, &wanted.last_modified)];
    for (name, value) in conditions {
        if let Some(value) = value {
            request = request.header(name, HeaderValue::from_str(value)?);
        }
    }
    if let Some(value) = wanted.authorization.as_ref().filter(|_| is_first) {
        request = request.header(header::AUTHORIZATION, HeaderValue::from_str(value)?);
    }
    Ok(request.body(())?.into_parts().0)
}

/// Where a redirect leads (RFC 3986, 5.2, for the forms that servers use).
fn join(origin: &Origin, from: &Uri, next: &str) -> Option<String> {
    if next.starts_with("http://") || next.starts_with("https://") {
        return Some(next.to_owned());
    }
    if let Some(rest) = next.strip_prefix("//") {
        return Some(format!("{}://{rest}", if origin.is_tls { "https" } else { "http" }));
    }
    if next.starts_with('/') {
        return Some(format!("{origin}{next}"));
    }
    if next.is_empty() || next.split('/').next().is_some_and(|part| part.contains(':')) {
        return None;
    }
    let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(format!("{origin}{folder}/{next}"))
}

impl WebAnswer {
    /// A header of the answer, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// Length of the file in bytes, where the server told.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.header("content-length").and_then(|text| text.parse().ok())
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the connection breaks or stands still.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let broken =
            |reason: String| Error::Unreachable { request: crate::error::request(&Method::GET, &self.address), reason };
        loop {
            let frame = tokio::time::timeout(PIECE_PATIENCE, self.response.body_mut().frame()).await;
            match frame {
                Err(_) => return Err(broken(format!("no bytes within {} s", PIECE_PATIENCE.as_secs()))),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(broken(connect::causes(&error))),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(_) => continue,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_they_say() {
        let from: Uri = "https://a.test/x/y?z".parse().expect("a URL");
        let origin = Origin::of(&from).expect("an origin");
        let to = |next: &str| join(&origin, &from, next);
        assert_eq!(to("http://b.test/").as_deref(), Some("http://b.test/"));
        assert_eq!(to("//b.test/q").as_deref(), Some("https://b.test/q"));
        assert_eq!(to("/q").as_deref(), Some("https://a.test/q"));
        assert_eq!(to("q").as_deref(), Some("https://a.test/x/q"));
        for bad in ["", "file:///etc/passwd", "javascript:x"] {
            assert_eq!(to(bad), None, "{bad}");
        }
    }
}
