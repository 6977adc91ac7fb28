//! Requests as registries want them: with a token, over redirects, again after a wait.

use std::time::Duration;

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};

use crate::{
    Error, Result,
    answer::{self, Fault},
    challenge::Challenge,
    connect,
    origin::Origin,
    payload::Source,
    repository::{Access, Repository, Way},
    trust::Trust,
};

/// Redirects followed for one request.
const REDIRECTS_MAX: usize = 5;
/// Waits for a registry that wants to be asked later, the longest one, and the first one where it names none.
const WAITS_MAX: u32 = 4;
const WAIT_MAX: Duration = Duration::from_secs(60);
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// What this client calls itself.
pub const AGENT: &str = concat!("berth/", env!("CARGO_PKG_VERSION"));

/// What to ask for.
pub struct Wanted<'w> {
    pub method: Method,
    /// Below `/v2/<repository>/`, or a whole URL that the registry named.
    pub path: String,
    /// Beside those of every request.
    pub headers: HeaderMap,
    pub source: Source,
    /// Familiar reference, for messages.
    pub reference: &'w str,
}

impl<'w> Wanted<'w> {
    /// Any request.
    pub fn new(method: Method, path: impl Into<String>, reference: &'w str) -> Self {
        Self { method, path: path.into(), headers: HeaderMap::new(), source: Source::Empty, reference }
    }

    /// `GET` of something in one of the media types `accept`.
    pub fn get(path: impl Into<String>, accept: &str, reference: &'w str) -> Self {
        Self::new(Method::GET, path, reference).with(header::ACCEPT, accept)
    }

    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        // What stands here was made by this crate and is text.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub fn carrying(mut self, source: Source) -> Self {
        self.source = source;
        self
    }
}

impl Repository {
    /// The answer, with a status of success.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::ManifestUnknown`], [`Error::TooManyRequests`], [`Error::Status`], and those of the
    /// connection, the token and redirects.
    pub(crate) async fn call(&self, way: &Way, wanted: &Wanted<'_>) -> Result<Response<Incoming>> {
        let response = self.ask(way, wanted).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (url, status, wait) = (self.url(way, wanted), response.status(), answer::retry_after(&response));
        Err(self.refused(&url, status, wait, &answer::fault(response).await, wanted))
    }

    fn url(&self, way: &Way, wanted: &Wanted<'_>) -> String {
        if wanted.path.contains("://") {
            return wanted.path.clone();
        }
        let url = format!("{}{}/{}/{}", way.endpoint.origin, way.endpoint.root, self.path, wanted.path);
        match &way.endpoint.namespace {
            Some(namespace) => format!("{url}{}ns={namespace}", if url.contains('?') { '&' } else { '?' }),
            None => url,
        }
    }

    /// The answer, whatever its status, once credentials and waits are behind it.
    pub(crate) async fn ask(&self, way: &Way, wanted: &Wanted<'_>) -> Result<Response<Incoming>> {
        let url = self.url(way, wanted);
        let (mut has_authorised, mut waits) = (false, 0);
        loop {
            let response = self.follow(way, &url, wanted).await?;
            let status = response.status();
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
                    tracing::debug!(url, wait_ms = wait.as_millis(), "the registry wants to be asked later");
                    tokio::time::sleep(wait).await;
                    continue;
                }
            }
            return Ok(response);
        }
    }

    pub(crate) fn refused(
        &self,
        url: &str,
        status: StatusCode,
        wait: Option<Duration>,
        fault: &Fault,
        wanted: &Wanted<'_>,
    ) -> Error {
        let reason = fault.words();
        let request = crate::error::request(&wanted.method, url);
        let is_denied = [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED].contains(&status);
        match (status, fault.code.as_str()) {
            (StatusCode::TOO_MANY_REQUESTS, _) => Error::TooManyRequests { request, reason, wait },
            (_, "DENIED") if self.access == Access::Push => Error::PushDenied { reason },
            _ if is_denied && self.access == Access::Push => Error::PushDenied { reason },
            (_, "NAME_UNKNOWN" | "DENIED") => Error::Denied { repository: self.familiar.clone(), reason },
            _ if is_denied => Error::Denied { repository: self.familiar.clone(), reason },
            (StatusCode::NOT_FOUND, _) if wanted.path.starts_with("manifests/") => {
                let reason = if fault.code.is_empty() { "manifest unknown".to_owned() } else { reason };
                Error::ManifestUnknown { reference: wanted.reference.to_owned(), reason }
            }
            _ => Error::Status { request, status: status.as_u16(), reason },
        }
    }

    /// The answer as it comes, without answering a challenge.
    pub(crate) async fn follow_plain(&self, way: &Way, wanted: &Wanted<'_>) -> Result<Response<Incoming>> {
        self.follow(way, &self.url(way, wanted), wanted).await
    }

    /// Sends the request and follows redirects; credentials stay with the registry.
    async fn follow(&self, way: &Way, url: &str, wanted: &Wanted<'_>) -> Result<Response<Incoming>> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let request = crate::error::request(&wanted.method, &url);
            let refused = |reason: &str| Error::Redirect { request: request.clone(), reason: reason.to_owned() };
            let uri: Uri = url.parse().map_err(|_| refused("not a URL"))?;
            let origin = Origin::of(&uri).ok_or_else(|| refused("neither http nor https"))?;
            if way.endpoint.origin.is_tls && !origin.is_tls {
                return Err(refused("it leads from https to http"));
            }
            let is_home = origin == way.endpoint.origin;
            let mut head = head(&wanted.method, &uri).map_err(|error| refused(&error.to_string()))?;
            head.headers.extend(wanted.headers.clone());
            if is_home {
                head.headers.extend(way.endpoint.headers.clone());
                if let Some(authorization) = way.lock().as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
                    head.headers.insert(header::AUTHORIZATION, authorization);
                }
            }
            let foreign = Trust::plain(true);
            let target = self.target(&origin, if is_home { &way.endpoint.trust } else { &foreign });
            let response = connect::send(&target, head, &wanted.source).await?;
            let status = response.status();
            // 304 and the like are answers.
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let target = location(&response, &origin).ok_or_else(|| refused("it says not where to"))?;
            url = target;
        }
        let request = crate::error::request(&wanted.method, &url);
        Err(Error::Redirect { request, reason: format!("more than {REDIRECTS_MAX} redirects") })
    }

    /// Asks a token server: `GET`, or `POST` with a form. No redirect is followed.
    pub(crate) async fn ask_for_token(
        &self,
        way: &Way,
        uri: &Uri,
        authorization: Option<String>,
        form: Option<String>,
    ) -> Result<Response<Incoming>> {
        let method = if form.is_some() { Method::POST } else { Method::GET };
        let request = crate::error::request(&method, &uri.to_string());
        let refused = |reason: String| Error::Redirect { request: request.clone(), reason };
        let origin = Origin::of(uri).ok_or_else(|| refused("neither http nor https".to_owned()))?;
        let mut head = head(&method, uri).map_err(|error| refused(error.to_string()))?;
        if form.is_some() {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            head.headers.insert(header::CONTENT_TYPE, form);
        }
        if let Some(authorization) = authorization {
            let value = HeaderValue::from_str(&authorization).map_err(|error| refused(error.to_string()))?;
            head.headers.insert(header::AUTHORIZATION, value);
        }
        let foreign = Trust::plain(way.endpoint.trust.is_verified || origin.host != way.endpoint.origin.host);
        let is_home = origin == way.endpoint.origin;
        let target = self.target(&origin, if is_home { &way.endpoint.trust } else { &foreign });
        let source = form.map_or(Source::Empty, |form| Source::Bytes(form.into()));
        connect::send(&target, head, &source).await
    }
}

fn head(method: &Method, uri: &Uri) -> hyper::http::Result<hyper::http::request::Parts> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder().method(method).uri(path).header(header::USER_AGENT, AGENT).body(())?;
    Ok(request.into_parts().0)
}

/// Where an answer leads to; paths are those of `origin`.
pub fn location(response: &Response<Incoming>, origin: &Origin) -> Option<String> {
    match response.headers().get(header::LOCATION)?.to_str().ok()? {
        path if path.starts_with('/') && !path.starts_with("//") => Some(format!("{origin}{path}")),
        whole if whole.contains("://") => Some(whole.to_owned()),
        _ => None,
    }
}

/// The first challenge that is understood.
pub fn challenge(way: &Way, response: &Response<Incoming>) -> Result<Challenge> {
    let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
    let texts: Vec<&str> = headers.iter().filter_map(|header| header.to_str().ok()).collect();
    texts.iter().find_map(|text| Challenge::parse(text)).ok_or_else(|| Error::Challenge {
        registry: way.endpoint.origin.to_string(),
        challenge: texts.join(", ").escape_debug().to_string(),
    })
}
