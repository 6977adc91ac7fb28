//! `GET` as registries want it: with a token, over redirects, again after a wait.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, Uri, body::Incoming, header};

use crate::{
    Error, Result,
    answer::{self, Fault},
    challenge::Challenge,
    connect,
    origin::Origin,
    repository::{Repository, Way},
};

/// Redirects followed for one request.
const REDIRECTS_MAX: usize = 5;
/// Waits for a registry that wants to be asked later, the longest one, and the first one where it names none.
const WAITS_MAX: u32 = 4;
const WAIT_MAX: Duration = Duration::from_secs(60);
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// What this client calls itself.
const AGENT: &str = concat!("berth/", env!("CARGO_PKG_VERSION"));

/// What to ask for.
pub struct Wanted<'w> {
    /// Below `/v2/<repository>/`.
    pub path: String,
    /// Media types.
    pub accept: &'w str,
    /// First byte.
    pub from: u64,
    /// Familiar reference, for messages.
    pub reference: &'w str,
}

impl Repository {
    /// The answer to a `GET`, with a status of success.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::ManifestUnknown`], [`Error::TooManyRequests`], [`Error::Status`], and those of the
    /// connection, the token and redirects.
    pub(crate) async fn get(&self, way: &Way, wanted: &Wanted<'_>) -> Result<Response<Incoming>> {
        let url = format!("{}{}/v2/{}/{}", way.endpoint.origin, way.endpoint.prefix, self.path, wanted.path);
        let (mut has_authorised, mut waits) = (false, 0);
        loop {
            let response = self.follow(way, &url, wanted).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if status == StatusCode::UNAUTHORIZED && !has_authorised {
                has_authorised = true;
                let authorization = self.authorise(way, &challenge(way, &response)?).await?;
                *way.lock() = Some(authorization);
                continue;
            }
            let is_busy = status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE;
            // Behind a busy mirror stands the registry itself.
            if is_busy && waits < WAITS_MAX && !way.endpoint.is_mirror {
                let wait = answer::retry_after(&response).unwrap_or(WAIT_FIRST * 2_u32.pow(waits));
                waits += 1;
                if wait <= WAIT_MAX {
                    tokio::time::sleep(wait).await;
                    continue;
                }
            }
            return Err(self.refused(url, status, &answer::fault(response).await, wanted));
        }
    }

    fn refused(&self, url: String, status: StatusCode, fault: &Fault, wanted: &Wanted<'_>) -> Error {
        let reason = fault.words();
        let repository = self.familiar.clone();
        match (status, fault.code.as_str()) {
            (StatusCode::TOO_MANY_REQUESTS, _) => Error::TooManyRequests { url, reason },
            (_, "NAME_UNKNOWN" | "DENIED") | (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, _) => {
                Error::Denied { repository, reason }
            }
            (StatusCode::NOT_FOUND, _) if wanted.path.starts_with("manifests/") => {
                let reason = if fault.code.is_empty() { "manifest unknown".to_owned() } else { reason };
                Error::ManifestUnknown { reference: wanted.reference.to_owned(), reason }
            }
            _ => Error::Status { url, status: status.as_u16(), reason },
        }
    }

    /// Sends the request and follows redirects; credentials stay with the registry.
    async fn follow(&self, way: &Way, url: &str, wanted: &Wanted<'_>) -> Result<Response<Incoming>> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let refused = |reason: &str| Error::Redirect { url: url.clone(), reason: reason.to_owned() };
            let uri: Uri = url.parse().map_err(|_| refused("not a URL"))?;
            let origin = Origin::of(&uri).ok_or_else(|| refused("neither http nor https"))?;
            if way.endpoint.origin.is_tls && !origin.is_tls {
                return Err(refused("it leads from https to http"));
            }
            let is_home = origin == way.endpoint.origin;
            let mut request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
                .header(header::USER_AGENT, AGENT)
                .header(header::ACCEPT, wanted.accept);
            if wanted.from > 0 {
                request = request.header(header::RANGE, format!("bytes={}-", wanted.from));
            }
            if let Some(authorization) = way.lock().clone().filter(|_| is_home) {
                request = request.header(header::AUTHORIZATION, authorization);
            }
            let request = request.body(Full::default()).map_err(|error| refused(&error.to_string()))?;
            let is_verified = !is_home || way.endpoint.is_verified;
            let response = connect::send(&origin, is_verified, &self.certificates, request).await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let target = response.headers().get(header::LOCATION).and_then(|target| target.to_str().ok());
            url = match target.ok_or_else(|| refused("it says not where to"))? {
                path if path.starts_with('/') && !path.starts_with("//") => format!("{origin}{path}"),
                target => target.to_owned(),
            };
        }
        Err(Error::Redirect { url, reason: format!("more than {REDIRECTS_MAX} redirects") })
    }

    /// Asks a token server: `GET`, or `POST` with a form. No redirect is followed.
    pub(crate) async fn ask(
        &self,
        way: &Way,
        uri: &Uri,
        authorization: Option<String>,
        form: Option<String>,
    ) -> Result<Response<Incoming>> {
        let refused = |reason: String| Error::Redirect { url: uri.to_string(), reason };
        let origin = Origin::of(uri).ok_or_else(|| refused("neither http nor https".to_owned()))?;
        let method = if form.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder()
            .method(method)
            .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::USER_AGENT, AGENT);
        if form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let body = Full::new(Bytes::from(form.unwrap_or_default()));
        let request = request.body(body).map_err(|error| refused(error.to_string()))?;
        let is_verified = origin != way.endpoint.origin || way.endpoint.is_verified;
        connect::send(&origin, is_verified, &self.certificates, request).await
    }
}

/// The first challenge that is understood.
fn challenge(way: &Way, response: &Response<Incoming>) -> Result<Challenge> {
    let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
    let texts: Vec<&str> = headers.iter().filter_map(|header| header.to_str().ok()).collect();
    texts.iter().find_map(|text| Challenge::parse(text)).ok_or_else(|| Error::Challenge {
        registry: way.endpoint.origin.to_string(),
        challenge: texts.join(", ").escape_debug().to_string(),
    })
}
