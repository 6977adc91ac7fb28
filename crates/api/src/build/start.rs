//! `POST /build`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::to_bytes,
    extract::{Request as HttpRequest, State},
    http::HeaderMap,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_build::{Attest, Client, ContextSource, Folder, NoCache, RemoteContext, Request, Source};
use berth_remote::Credentials;
use berth_spec::{Platform, Reference, model};
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::{
    answer::{self, Form},
    cache,
    classic::Classic,
    reader::BodyReader,
};
use crate::{
    Engine, Error, body,
    failure::{Answer, Failure},
    query::Query,
    registry,
};

/// The longest description of a build whose context was sent before, in bytes.
const EXTRA_MAX: usize = 16 << 20;

/// What berth's own client sends beside the query.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Extra {
    /// The Dockerfile, where it is not in the context.
    dockerfile: Option<String>,
    /// Secrets by name, in Base64.
    secrets: BTreeMap<String, String>,
    /// Named contexts: ids of folders that were sent, or `docker-image://name`.
    contexts: BTreeMap<String, String>,
}

/// A folder that is here already.
struct Ready(Folder);

impl ContextSource for Ready {
    fn open(&self) -> BoxFuture<'_, Result<Folder, String>> {
        let folder = self.0.clone();
        Box::pin(async move { Ok(folder) })
    }
}

/// What came with the request.
struct Sent {
    headers: HeaderMap,
    secrets: BTreeMap<String, Vec<u8>>,
}

impl Client for Sent {
    fn credentials<'a>(&'a self, image: &'a Reference) -> BoxFuture<'a, Option<Credentials>> {
        Box::pin(async move { registry::credentials_for(&self.headers, image).ok().flatten() })
    }

    fn secret<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, String>> {
        Box::pin(async move { Ok(self.secrets.get(id).cloned()) })
    }

    fn has_ssh<'a>(&'a self, _: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async { false })
    }

    fn ssh(&self, id: String, _: tokio::net::UnixStream) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async move { Err(format!("no SSH agent {id}")) })
    }
}

pub async fn build(State(engine): State<Arc<Engine>>, query: Query, request: HttpRequest) -> Answer {
    let (parts, sent) = request.into_parts();
    let name = query.text("dockerfile").unwrap_or_else(|| "Dockerfile".to_owned());
    let is_described = query.get("context").is_some() || is_json(&parts.headers);
    let (extra, archive) = match is_described {
        true => {
            let bytes = to_bytes(sent, EXTRA_MAX).await.map_err(|_| Error::BodyTooLarge(EXTRA_MAX))?;
            (if bytes.is_empty() { Extra::default() } else { body::decode(&bytes)? }, None)
        }
        false => (Extra::default(), Some(sent)),
    };
    let client: Arc<dyn Client> = Arc::new(Sent { headers: parts.headers, secrets: secrets(&extra)? });
    let context = match (query.get("context"), query.get("remote").filter(|remote| !remote.is_empty()), archive) {
        (Some(id), ..) => RemoteContext::Folder(engine.builder.contexts().take(id)?),
        (None, Some(address), _) => engine.builder.remote_context(address, &registry::policy(&engine), &client).await?,
        (None, None, Some(sent)) => {
            let reader = BodyReader::new(body::stream(sent));
            let contexts = engine.builder.contexts().clone();
            let work = tokio::task::spawn_blocking(move || contexts.unpack(reader));
            RemoteContext::Folder(work.await.map_err(|error| Error::Body(error.to_string()))??)
        }
        (None, None, None) => return Err(Error::Invalid("a build needs a context".to_owned()).into()),
    };
    let mut wanted = described(&context, &extra, &name)?;
    wanted.dockerfile_name = name;
    fill(&mut wanted, &query)?;
    for (name, place) in &extra.contexts {
        wanted.contexts.insert(name.clone(), named(&engine, place)?);
    }
    wanted.cache_from = cache::from(&engine, &query)?;
    wanted.cache_to = cache::to(&query)?;
    wanted.policy = registry::policy(&engine);
    wanted.client = client;
    let form = match query.flag("events")? {
        true => Form::Events,
        false => Form::Classic(Classic::new(query.flag("q")?)),
    };
    answer::run(engine.builder.clone(), wanted, form).await
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(axum::http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}

fn secrets(extra: &Extra) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let decode = |(id, text): (&String, &String)| match STANDARD.decode(text) {
        Ok(bytes) => Ok((id.clone(), bytes)),
        Err(error) => Err(Error::Invalid(format!("secret {id}: {error}")).into()),
    };
    extra.secrets.iter().map(decode).collect()
}

/// A request for the Dockerfile that a context, or the client itself, has.
fn described(context: &RemoteContext, extra: &Extra, name: &str) -> Result<Request, Failure> {
    let own = extra.dockerfile.as_ref().map(|text| text.clone().into_bytes());
    Ok(match context {
        RemoteContext::Folder(folder) => {
            let dockerfile = own.map_or_else(|| folder.read(name), Ok)?;
            Request::new(dockerfile, Source::Folder(Arc::new(Ready(folder.clone()))))
        }
        RemoteContext::Dockerfile(bytes) => Request::new(own.unwrap_or_else(|| bytes.clone()), Source::Nothing),
    })
}

/// A named context: an image, an address, or the id of a folder that was sent.
fn named(engine: &Engine, place: &str) -> Result<Source, Failure> {
    if let Some(image) = place.strip_prefix("docker-image://") {
        return Ok(Source::Image(image.to_owned()));
    }
    if place.contains("://") || place.contains('@') || place.starts_with("github.com/") {
        return Ok(Source::Remote(place.to_owned()));
    }
    Ok(Source::Folder(Arc::new(Ready(engine.builder.contexts().take(place)?))))
}

fn fill(wanted: &mut Request, query: &Query) -> Result<(), Failure> {
    wanted.tags = query.all("t");
    for tag in &wanted.tags {
        Reference::parse(tag).map_err(|_| Error::Invalid(format!("invalid reference format: {tag:?}")))?;
    }
    wanted.args = map(query, "buildargs")?;
    wanted.labels = map(query, "labels")?;
    wanted.target = query.text("target");
    wanted.pull = query.get("pull").is_some_and(|pull| !matches!(pull, "0" | "false"));
    wanted.no_cache = match (query.flag("nocache")?, query.all("nocachefilter")) {
        (true, _) => NoCache::All,
        (false, stages) if stages.is_empty() => NoCache::Nothing,
        (false, stages) => NoCache::Stages(stages),
    };
    wanted.push = query.flag("push")?;
    wanted.always_index = query.flag("index")?;
    for text in query.all("attest") {
        wanted.attest.extend(Attest::parse(&text).map_err(Error::Invalid)?);
    }
    if let Some(text) = query.get("platform") {
        let parse = |text: &str| Platform::parse(text).map_err(|error| Error::Invalid(error.to_string()));
        wanted.platforms = text.split(',').map(parse).collect::<Result<_, _>>()?;
    }
    wanted.network = query.text("networkmode");
    wanted.add_hosts = query.all("extrahosts").iter().flat_map(|all| all.split(',')).map(str::to_owned).collect();
    wanted.shm_bytes = query.number("shmsize")?.filter(|bytes| *bytes > 0);
    wanted.cgroup_parent = query.text("cgroupparent");
    wanted.memory_bytes = query.number("memory")?.filter(|bytes| *bytes != 0);
    wanted.memory_swap_bytes = query.number("memswap")?.filter(|bytes| *bytes != 0);
    wanted.cpu_shares = query.number("cpushares")?.filter(|shares| *shares != 0);
    wanted.cpu_period_us = query.number("cpuperiod")?.filter(|period| *period != 0);
    wanted.cpu_quota_us = query.number("cpuquota")?.filter(|quota| *quota != 0);
    wanted.cpuset_cpus = query.text("cpusetcpus");
    wanted.cpuset_mems = query.text("cpusetmems");
    wanted.check_only = query.flag("check")?;
    if query.flag("squash")? {
        return Err(Error::Invalid("squash is not part of a build: use `berth image squash`".to_owned()).into());
    }
    wanted.security_options = match query.get("securityopt") {
        Some(text) => body::decode(text.as_bytes())?,
        None => Vec::new(),
    };
    if let Some(text) = query.get("ulimits") {
        let limits: Option<Vec<model::ResourcesUlimits>> = body::decode(text.as_bytes())?;
        wanted.ulimits = limits.unwrap_or_default();
    }
    for right in query.all("allow") {
        match right.as_str() {
            "network.host" => wanted.allowed.host_network = true,
            "security.insecure" => wanted.allowed.insecure = true,
            "device" => wanted.allowed.device = true,
            other => return Err(Error::Invalid(format!("unknown entitlement {other:?}")).into()),
        }
    }
    Ok(())
}

/// A JSON object of texts; a null value stands for a name alone.
fn map(query: &Query, name: &str) -> Result<BTreeMap<String, String>, Failure> {
    let Some(text) = query.get(name) else { return Ok(BTreeMap::new()) };
    let values: Option<BTreeMap<String, Option<String>>> = body::decode(text.as_bytes())?;
    Ok(values.unwrap_or_default().into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
}
